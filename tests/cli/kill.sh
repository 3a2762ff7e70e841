# kill -9 at random moments: a training run, killed 50 times and resumed each time, ends with the bytes of
# the unbroken one; sample and compare leave whole files or none. KILLS and SEED in the environment change the
# number and the moments.
. "$(dirname -- "$0")/lib.bash"

cd "$tmp" || exit 1
kills=${KILLS:-50} seed=${SEED:-$$}
RANDOM=$seed
make_idx data 12 8 3
# a step is short and a checkpoint is due every other, so that most moments are within one
options=(--data data --class-conditional --flip --dropout 0.1 "${tiny_net[@]}" --batch 4 --seed 5 --ema 0.99
         --save-every 2 --sample-every 10 --sample-count 4 --sample-steps 2 --quiet --threads 1 --steps 40)

before_cleanup() { if [ -n "$pid" ]; then kill -9 $pid 2>/dev/null; fi; }
pid=

# kill_within MILLISECONDS FOLDER ARGUMENT...: athanor in the folder, killed at a random moment; false when it ended before.
kill_within() {
    local most=$1 folder=$2
    shift 2
    (cd "$folder" && exec "$program" "$@") >killed.out 2>killed.err & pid=$!
    sleep "$(printf '%d.%04d' $((RANDOM % most / 1000)) $((RANDOM % (most < 1000 ? most * 10 : 10000))))"
    kill -9 $pid 2>/dev/null
    code=0
    wait $pid 2>/dev/null || code=$?
    pid=
    if [ $code != 137 ] && [ $code != 0 ]; then failed "exit status $code, expected 137 or 0: $*" "$(cat killed.err)"; fi
    [ $code = 137 ]
}
in_folder() { (cd "$1" && exec "$program" "${@:2}"); }
# time_of FOLDER ARGUMENT...: how long athanor takes, in milliseconds
time_of() {
    local begin end
    begin=$(date +%s%N)
    in_folder "$@" >/dev/null 2>&1
    end=$(date +%s%N)
    echo $(((end - begin) / 1000000 + 1))
}
unfinished() { find "$@" -name '*.athanor.tmp' | wc -l; }

# ---- training ----

# every file is that of the unbroken run, but for what the clock says
ends_as_unbroken() {
    local file
    diff <(cd "$1" && find . -type f | sort) <(cd unbroken && find . -type f | sort) || return 1
    same_state "$1/training_state.safetensors" unbroken/training_state.safetensors || return 1
    diff <(cut -d, -f1-6 "$1/log.csv") <(cut -d, -f1-6 unbroken/log.csv) || return 1
    for file in $(cd unbroken && find . -type f); do
        case $file in ./training_state.safetensors | ./log.csv | ./train.json) continue ;; esac
        cmp "$1/$file" "unbroken/$file" || return 1
    done
}
whole_checkpoint() { # what is there can be opened at any moment
    if [ -e "$1/model_index.json" ]; then athanor info "$1" --json; fi &&
        if [ -e "$1/training_state.safetensors" ]; then athanor info "$1/training_state.safetensors" --json; fi
}

unbroken_time=$(time_of . train "${options[@]}" --out unbroken)
check "the unbroken run" test -e unbroken/samples/step-00000040.png
done_kills=0 runs=1 left=0 run=killed1
# within a fifth of the whole run, so that a run is killed about ten times
while [ $done_kills -lt "$kills" ]; do
    if kill_within $((unbroken_time / 5 + 20)) . train "${options[@]}" --resume --out $run; then
        done_kills=$((done_kills + 1))
        if [ -d $run ]; then
            left=$((left + $(unfinished $run)))
            check "after kill $done_kills: what is there is whole (seed $seed)" whole_checkpoint $run
        fi
    else
        check "$run, killed again and again, ends as the unbroken run (seed $seed)" ends_as_unbroken $run
        runs=$((runs + 1)) run=killed$runs
    fi
done
check "the last resume" athanor train "${options[@]}" --resume --out $run
check "$run, killed again and again, ends as the unbroken run (seed $seed)" ends_as_unbroken $run
echo "train: killed $done_kills times in $runs runs of $unbroken_time ms, $left unfinished files left and removed again"

# ---- sample and compare ----

# whole_files FOLDER: each finished file in it is that of whole.d, byte by byte where no time is written into it
whole_files() {
    local file
    for file in $(cd "$1" && find . -type f ! -name '*.athanor.tmp'); do
        case $file in
        *.csv) diff <(cut -d, -f1-4,6- "$1/$file") <(cut -d, -f1-4,6- "whole.d/$file") || return 1 ;;
        *.html) tail -n 1 "$1/$file" | grep -q '</html>' || return 1 ;;
        *.json) is_json_line <(tr -d '\n' <"$1/$file"; echo) || return 1 ;;
        *) cmp "$1/$file" "whole.d/$file" || return 1 ;;
        esac
    done
}
same_names() { diff <(cd "$1" && find . -type f | sort) <(cd "$2" && find . -type f | sort); }
# killed_command ARGUMENT...: all its kills are in one folder, which ends like one without
killed_command() {
    local i hit=0 left=0 took
    rm -rf whole.d broken.d
    mkdir whole.d broken.d
    took=$(time_of whole.d "$@")
    check "$1, unbroken" test -n "$(ls whole.d)"
    for ((i = 0; i < kills / 2; i++)); do
        if kill_within "$took" broken.d "$@"; then hit=$((hit + 1)); fi
        left=$((left + $(unfinished broken.d)))
        check "$1: only whole files (seed $seed)" whole_files broken.d
        if [ $((i % 2)) = 0 ]; then rm -rf broken.d && mkdir broken.d; fi
    done
    exits 0 in_folder broken.d "$@"
    check "$1 after its kills: whole files" whole_files broken.d
    check "$1 after its kills: nothing unfinished is left" same_names broken.d whole.d
    echo "$1: killed $hit times within $took ms, $left unfinished files"
}
killed_command sample ../unbroken -o grid.png --images . --trajectory t.safetensors --trajectory-grid way.png --gif way.gif \
               --count 40 --steps 3 --quiet --threads 1
killed_command compare ../unbroken -o . --samplers ddim,heun --steps 2,3 --count 4 --data ../data --tune-skip --quiet --threads 1

# A preview whose name is not written again, and a picture beyond the next run's --count.
touch unbroken/samples/step-00000033.png.athanor.tmp unbroken/unet/config.json.athanor.tmp broken.d/000099.png.athanor.tmp broken.d/mine.tmp
check "a run that goes on" athanor train --out unbroken --resume --quiet
same "has no unfinished files" "$(unfinished unbroken)" 0
check "sample into the same folder" in_folder broken.d sample ../unbroken --images . --count 2 --steps 2 --quiet
same "leaves what is not its own" "$(cd broken.d && echo *.tmp)" mine.tmp

done_testing
