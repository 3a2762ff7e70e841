# Output onto a full or read-only disk, or into a folder that is gone: one line, exit status 1, the last checkpoint
# whole, nothing unfinished left behind; with room again, the run goes on as if nothing had been.
. "$(dirname -- "$0")/lib.bash"

cd "$tmp" || exit 1
weights=unet/diffusion_pytorch_model.safetensors
make_idx data 12 8 3
options=(--data data "${tiny_net[@]}" --batch 4 --save-every 2 --sample-count 4 --sample-steps 2 --quiet --threads 1)
check "the unbroken run" athanor train "${options[@]}" --steps 8 --out unbroken
check "its first half" athanor train "${options[@]}" --steps 4 --out half

checkpoint() { (cd "$1" && cksum training_state.safetensors unet/* scheduler/* model_index.json); }
no_unfinished() { [ -z "$(find "$1" -name '*.tmp*')" ]; }
goes_on() {
    athanor train --out "$1" --resume --quiet --steps 8 && cmp "$1/$weights" unbroken/$weights &&
        same_state "$1/training_state.safetensors" unbroken/training_state.safetensors &&
        diff <(cut -d, -f1-6 "$1/log.csv") <(cut -d, -f1-6 unbroken/log.csv)
}
# intact RUN: after a failure
intact() {
    same "$1: the last checkpoint is whole" "$(checkpoint "$1")" "$(checkpoint half)"
    check "$1: no unfinished files" no_unfinished "$1"
    check "$1: sampling from it works" athanor sample "$1" -o sampled.png --steps 2 --count 4 --quiet --threads 1
    check "$1: with room again, it ends as the unbroken run" goes_on "$1"
}

# ---- a limit on the size of files: the kernel's answer is the same kind of failure ----

# with_limit KIB COMMAND...: also where the signal SIGXFSZ is not ignored by the caller
with_limit() { local kib=$1; shift; (ulimit -f "$kib" && "$@"); }
with_limit_ignored() { local kib=$1; shift; (trap '' XFSZ && ulimit -f "$kib" && "$@"); }
limit_athanor() { fails_with 1 "$1" "${@:2}"; check "one line of athanor's" grep -q '^athanor: [a-z]*: ' "$tmp/err"; }

cp -r half limited
limit_athanor 'limited/training_state.safetensors: cannot write: File too large' with_limit 400 athanor train --out limited --resume --quiet --steps 8
intact limited
cp -r half limited2
limit_athanor "limited2/$weights: cannot write: File too large" with_limit_ignored 100 athanor train --out limited2 --resume --quiet --steps 8
intact limited2
limit_athanor 'new/.*: cannot write: File too large' with_limit 100 athanor train "${options[@]}" --steps 4 --out new
check "a new run: no unfinished files" no_unfinished new
mkdir out.d
few=(--steps 2 --count 64 --quiet --threads 1)
limit_athanor 'out.d/grid.png: cannot write: File too large' with_limit 1 athanor sample half -o out.d/grid.png "${few[@]}"
limit_athanor 'out.d/t.safetensors: cannot write: File too large' with_limit 1 athanor sample half --trajectory out.d/t.safetensors "${few[@]}"
inverts=(invert half data --count 12 --steps 2 --quiet --threads 1)
compares=(compare half --samplers ddim,heun --steps 2 --count 4 --quiet --threads 1)
limit_athanor 'out.d/x.safetensors: cannot write: File too large' with_limit 1 athanor "${inverts[@]}" -o out.d/x.safetensors
limit_athanor 'out.d/back.png: cannot write: File too large' with_limit 1 athanor "${inverts[@]}" --reconstruction out.d/back.png
same "nothing was written" "$(ls -A out.d)" ""
limit_athanor 'compared/plot.png: cannot write: File too large' with_limit 1 athanor "${compares[@]}" -o compared
same "of a comparison, what fitted is there" "$(ls -A compared)" table.csv
echo old >out.d/grid.png
limit_athanor 'out.d/grid.png: cannot write: File too large' with_limit 1 athanor sample half -o out.d/grid.png "${few[@]}"
same "what was there before is still there" "$(cat out.d/grid.png)" old

# ---- a full disk, where one can be mounted ----

before_cleanup() { if [ -n "$mounted" ]; then umount "$tmp/disk"; fi; }
mounted=
mkdir disk
if [ "$(id -u)" = 0 ] && mount -t tmpfs -o size=6m athanor-test disk 2>/dev/null; then mounted=yes; fi
if [ -n "$mounted" ]; then
    for left in 0 8 60 500 780; do # KiB; a checkpoint's files together need 1000
        run=disk/run$left
        cp -r half "$run"
        head -c $(($(stat -f -c '%a * %S' disk) - left * 1024)) /dev/zero >disk/ballast
        fails_with 1 "$run.*: No space left on device" athanor train --out "$run" --resume --quiet --steps 8
        if [ $left = 0 ]; then
            fails_with 1 'disk/grid.png: cannot write: No space left on device' athanor sample half -o disk/grid.png "${few[@]}"
            fails_with 1 'disk/first.png: cannot write: No space left on device' athanor info data -o disk/first.png
            mkdir disk/pictures
            fails_with 1 'disk/pictures/000000.png: cannot write: No space left on device' athanor sample half --images disk/pictures "${few[@]}"
            fails_with 1 'disk/new.*: No space left on device' athanor train "${options[@]}" --steps 4 --out disk/new
            fails_with 1 'disk/t.safetensors: cannot write: No space left on device' athanor sample half --trajectory disk/t.safetensors "${few[@]}"
            fails_with 1 'disk/compared/table.csv: cannot write: No space left on device' athanor "${compares[@]}" -o disk/compared
            fails_with 1 'disk/x.safetensors: cannot write: No space left on device' athanor "${inverts[@]}" -o disk/x.safetensors
            fails_with 1 'disk/back.png: cannot write: No space left on device' athanor "${inverts[@]}" --reconstruction disk/back.png
            check "no unfinished files" no_unfinished disk
            check "no lock is left" eval '[ ! -e disk/new/train.lock ] && [ ! -e "$run/train.lock" ]'
        fi
        rm disk/ballast
        intact "$run"
        rm -r "$run"
    done
fi

# ---- a disk that cannot be written to ----

# refuses_to_write WHY: every command, onto disk
refuses_to_write() {
    fails_with 1 "disk/run/train.lock: cannot write: $1" athanor train --out disk/run --resume --quiet --steps 8
    fails_with 1 "disk/new: cannot create folder: $1" athanor train "${options[@]}" --steps 4 --out disk/new
    fails_with 1 "disk/grid.png: cannot write: $1" athanor sample disk/run -o disk/grid.png "${few[@]}"
    fails_with 1 "disk/pictures: cannot create folder: $1" athanor sample disk/run --images disk/pictures "${few[@]}"
    fails_with 1 "disk/run/000000.png: cannot write: $1" athanor sample disk/run --images disk/run "${few[@]}"
    fails_with 1 "disk/run/table.csv: cannot write: $1" athanor "${compares[@]}" -o disk/run
    fails_with 1 "disk/run/skip_tuning.json: cannot write: $1" athanor compare disk/run --samplers ddim --steps 2 --count 4 \
               --data data --tune-skip -o out.d "${few[@]:4}"
    fails_with 1 "disk/x.safetensors: cannot write: $1" athanor "${inverts[@]}" -o disk/x.safetensors
    check "what is there can still be sampled" athanor sample disk/run -o sampled.png "${few[@]}"
}
if [ -n "$mounted" ]; then
    rm -rf disk/*
    cp -r half disk/run
    mount -o remount,ro disk
    refuses_to_write 'Read-only file system'
    mount -o remount,rw disk
    intact disk/run
elif [ "$(id -u)" != 0 ]; then
    cp -r half disk/run
    chmod a-w disk disk/run
    refuses_to_write 'Permission denied'
    chmod u+w disk disk/run
    intact disk/run
else
    echo "no disk could be mounted: these parts are left out"
fi

# ---- a folder that goes away under a trainer ----

before_cleanup() {
    if [ -n "$pid" ]; then kill -9 $pid 2>/dev/null; fi
    if [ -n "$mounted" ]; then umount "$tmp/disk"; fi
}
pid=
# lost RUN COMMAND...: the command takes the folder of a training run away
lost() {
    local run=$1 code=0
    shift
    "$program" train "${options[@]}" --sample-count 0 --steps 1000000 --out "$run" >out 2>err & pid=$!
    if ! wait_for 60 has_steps "$run" 20; then failed "$run does not begin" "$(cat err)"; fi
    check "the folder goes" "$@"
    wait $pid || code=$?
    pid=
    same "$run: exit status" $code 1
    same "$run: one line" "$(wc -l <err) $(wc -c <out)" "1 0"
    check "$run: it names the file" grep -qE "^athanor: train: $run/[a-z_./]*: (is gone|cannot (write|rename into place|create folder))" err
    if [ -e "$run" ]; then failed "$run is back" "$(find "$run")"; fi
}
lost moved-away mv moved-away moved
check "a run whose folder was moved can be sampled" athanor sample moved -o sampled.png "${few[@]}"
at=$(athanor info moved --json | tee info.json >/dev/null; json_value info.json step)
check "and goes on from its last checkpoint, step $at" athanor train --out moved --resume --quiet --steps $((at + 3))
check "the same, unbroken" athanor train "${options[@]}" --sample-count 0 --steps $((at + 3)) --out moved-not
check "to the same state" same_state moved/training_state.safetensors moved-not/training_state.safetensors
check "and the same weights" cmp moved/$weights moved-not/$weights
remove() { while ! rm -rf removed; do :; done; } # the trainer may write as it goes
lost removed remove

# ---- standard output, and a device as a file ----

if [ -w /dev/full ]; then
    onto_full() { "$@" >/dev/full; }
    for command in "list samplers" "info half --json" "info data" "sample half -o s.png --steps 2 --quiet" "train --help" \
                   "bench --preset tiny --batch 1 --seconds 0 --threads 1" "train --out unbroken --resume --quiet"; do
        fails_with 1 "^athanor: ${command%% *}: standard output: cannot write" onto_full athanor $command
    done
    fails_with 1 'standard output: cannot write' onto_full athanor --help
    fails_with 1 'standard output: cannot write' onto_full athanor --version
    ln -s /dev/full device.png
    fails_with 1 'device.png: ' athanor sample half -o device.png "${few[@]}"
    same "a device is not replaced by a file" "$(readlink device.png)" /dev/full
    check "no unfinished files" eval '[ -z "$(ls | grep "\.tmp")" ]'
fi

done_testing
