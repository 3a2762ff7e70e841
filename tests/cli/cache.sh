# The cache of decoded folders: where it is, how it is turned off, and that no byte of any result depends on it. Broken files
# that are left out are counted in train.json, and a resumed run leaves them out again.
. "$(dirname -- "$0")/lib.bash"

cd "$tmp" || exit 1
make_idx data 12 8 3
quick=("${tiny_net[@]}" --threads 1 --quiet --batch 4 --sample-count 0)
check "a model" athanor train --data data --out run --steps 1 "${quick[@]}"
check "its pictures" athanor sample run --count 6 --steps 1 --images pictures --quiet --threads 1
for class in one two; do mkdir -p classes/$class && cp pictures/*.png classes/$class; done
sleep 0.1 # what changed just now is not kept
weights=unet/diffusion_pytorch_model.safetensors

# ---- where it is ----

mkdir home
unset ATH_CACHE XDG_CACHE_HOME
export HOME=$tmp/home
cached() { find "$tmp" -name '*.pictures' | sed "s#^$tmp/##; s#/[0-9a-f]\{64\}\.pictures#/#" | sort; }
clear_cache() { find "$tmp" -name '*.pictures' -delete; }
same "nothing is kept before" "$(cached)" ""
info=$(athanor info classes --json)
same "by default in ~/.cache/athanor" "$(cached)" "home/.cache/athanor/"
same "the same with it" "$(athanor info classes --json)" "$info"
same "and without" "$(athanor info classes --json --no-cache)" "$info"
clear_cache
XDG_CACHE_HOME=$tmp/xdg athanor info classes >/dev/null
same "in XDG_CACHE_HOME" "$(cached)" "xdg/athanor/"
clear_cache
XDG_CACHE_HOME=relative athanor info classes >/dev/null
same "which is ignored when it is relative" "$(cached)" "home/.cache/athanor/"
clear_cache
ATH_CACHE=$tmp/own XDG_CACHE_HOME=$tmp/xdg athanor info classes >/dev/null
same "in ATH_CACHE" "$(cached)" "own/"
clear_cache
ATH_CACHE= athanor info classes >/dev/null
same "which turns it off when it is empty" "$(cached)" ""
athanor info classes --no-cache >/dev/null
same "as --no-cache does" "$(cached)" ""
for home in "$tmp/nowhere" relative ""; do
    same "HOME=$home: the same" "$(HOME=$home athanor info classes --json)" "$info"
    check "HOME=$home: nothing is made" test ! -e "$home/.cache"
done
same "nothing was kept" "$(cached)" ""
same "no HOME: the same" "$(unset HOME; athanor info classes --json)" "$info"
same "of other data nothing is kept" "$(athanor info data --json >/dev/null && cached)" ""

# ---- no byte depends on it ----

train=(train --data classes --class-conditional --steps 6 "${quick[@]}")
check "trained without" athanor "${train[@]}" --no-cache --out without
same "nothing was kept" "$(cached)" ""
check "trained, the first time" athanor "${train[@]}" --out first
same "what was decoded is kept" "$(cached)" "home/.cache/athanor/"
check "trained, the second time" athanor "${train[@]}" --out second
for run in first second; do
    check "$run: the same weights" cmp without/$weights $run/$weights
    same "$run: train.json does not know of it" "$(sed s/$run/without/ $run/train.json)" "$(cat without/train.json)"
done
for command in "eval pictures --data classes" "invert run classes --count 4 --steps 2 --threads 1 --quiet --json -o noise.safetensors"; do
    clear_cache
    without=$(athanor $command --no-cache)
    same "$command: nothing is kept" "$(cached)" ""
    same "$command: the first time" "$(athanor $command)" "$without"
    check "$command: it is kept" test -n "$(cached)"
    same "$command: the second time" "$(athanor $command)" "$without"
done

# ---- broken files ----

head -c 60 pictures/000001.png >classes/one/000001.png
echo no picture >classes/two/x.png
sleep 0.1
skipped() { json_value "$1/train.json" _skipped_files; }
fails_with 1 'classes/one/000001.png: damaged PNG' athanor "${train[@]}" --out none
for run in skips skips-again; do
    check "$run" athanor "${train[@]}" --skip-broken --out $run
    same "$run: train.json has the option" "$(json_value $run/train.json skip-broken)" true
    same "$run: and the number" "$(skipped $run)" 2
done
check "half of it" athanor "${train[@]}" --steps 3 --skip-broken --out half
check "resumed, it leaves them out again" athanor train --out half --resume --steps 6 --quiet --threads 1
same "counted" "$(skipped half)" 2
check "to the same weights" cmp skips/$weights half/$weights
check "as --config does" athanor train --config skips/train.json --out configured --quiet
check "to the same weights" cmp skips/$weights configured/$weights
same "a run that leaves none out does not count" "$(skipped first)" ""

done_testing
