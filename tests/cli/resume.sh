# A run that is stopped or killed at any moment and resumed ends with the bytes that the
# unbroken run writes; a signal saves and ends with 128 + its number.
. "$(dirname -- "$0")/lib.bash"

cd "$tmp" || exit 1
weights=unet/diffusion_pytorch_model.safetensors
make_idx data 12 8 3
# everything that draws random numbers or depends on the step is switched on
options=(--data data --class-conditional --label-dropout 0.2 --flip --dropout 0.1 "${tiny_net[@]}" --batch 8 --seed 5
         --lr-schedule cosine --lr 3e-3 --warmup 5 --weight-decay 0.01 --ema 0.99 --grad-clip 0.5 --loss-weight min-snr
         --sample-every 10 --sample-count 4 --sample-steps 3 --quiet --threads 1)
steps=40

before_cleanup() { if [ -n "$pid" ]; then kill -9 $pid 2>/dev/null; fi; }
pid=
# train_behind ARGUMENT...: in the background; its exit status comes from `ended`
train_behind() { "$program" train "$@" >out 2>err & pid=$!; }
ended() { code=0; wait $pid 2>/dev/null || code=$?; pid=; }

# like RUN UNBROKEN: every file is the same but for what the clock says: the last two columns
# of the log and the state's "seconds"
like() {
    local file
    (cd "$2" && find . -type f | sort) >expected.list
    (cd "$1" && find . -type f ! -name '*.tmp' | sort) | diff - expected.list || return 1
    same_state "$1/training_state.safetensors" "$2/training_state.safetensors" || return 1
    diff <(cut -d, -f1-6 "$1/log.csv") <(cut -d, -f1-6 "$2/log.csv") || return 1
    diff <(sed '/"out":/d' "$1/train.json") <(sed '/"out":/d' "$2/train.json") || return 1
    while read -r file; do
        case $file in ./training_state.safetensors | ./log.csv | ./train.json) continue ;; esac
        cmp "$1/$file" "$2/$file" || return 1
    done <expected.list
}
each_step_once() { diff <(tail -n +2 "$1/log.csv" | cut -d, -f1) <(seq "$2"); }

check "the unbroken run" athanor train "${options[@]}" --steps $steps --save-every 3 --out unbroken
check "its log has each step once" each_step_once unbroken $steps
same "its previews" "$(ls unbroken/samples | tr '\n' ' ')" "step-00000010.png step-00000020.png step-00000030.png step-00000040.png "

# ---- kill -9: before the first checkpoint, within steps, within checkpoints, within previews ----

train_behind "${options[@]}" --steps $steps --save-every 3 --out killed
kills=0
for moment in "0 0" "4 0" "8 0.005" "13 0.01" "17 0.02" "21 0.03" "25 0.045" "29 0.06" "33 0.001" "37 0.015"; do
    read -r at later <<<"$moment"
    if ! wait_for 120 has_steps killed "$at"; then failed "step $at is not reached" "$(cat err)"; fi
    sleep "$later"
    if kill -9 $pid 2>/dev/null; then kills=$((kills + 1)); fi
    ended
    train_behind --out killed --resume --quiet
done
ended
same "the last of them: exit status" "$code $(cat err)" "0 "
check "it was killed at least 8 times" test $kills -ge 8
check "killed $kills times: the files of the unbroken run" like killed unbroken
check "killed $kills times: the log has each step once" each_step_once killed $steps

# Killed between the files of the last checkpoint: the state is of that step, the others are not.
cp -r unbroken between
athanor train "${options[@]}" --steps 2 --out short >/dev/null
cp short/$weights between/$weights
rm between/model_index.json between/loss.png between/samples/step-00000040.png
check "resuming a run whose state is done but not what follows it" athanor train --out between --resume --quiet
check "what follows the state is made again" like between unbroken

# Killed in the middle of a line of the log (which is then behind the checkpoint).
cp -r unbroken line
printf '41,3' >>line/log.csv
check "resuming a run with half a line in its log" athanor train --out line --resume --quiet
check "half a line is dropped" like line unbroken

# A finished run, and one that goes on.
cp -r unbroken finished
exits 0 athanor train --out finished --resume --quiet
check "resuming a finished run changes nothing" like finished unbroken
check "a finished run goes on with --steps" athanor train --out between --resume --quiet --steps 45
check "a finished run that goes on has each step once" each_step_once between 45

# ---- signals ----

# stopped SIGNAL CODE RUN ARGUMENT...
stopped() {
    local signal=$1 expected=$2 run=$3
    shift 3
    train_behind "${options[@]}" --sample-count 0 --batch 32 "$@" --out "$run"
    if ! wait_for 120 has_steps "$run" 3; then failed "$run does not begin" "$(cat err)"; fi
    kill -"$signal" $pid
    ended
    same "SIG$signal: exit status" $code $expected
    same "SIG$signal: nothing is said" "$(cat out err)" ""
    same "SIG$signal: the state is of the last step in the log" "$(athanor info "$run" --json | tee info.json >/dev/null; json_value info.json step)" \
         "$(tail -n 1 "$run/log.csv" | cut -d, -f1)"
    check "SIG$signal: no unfinished files" eval "! find $run -name '*.tmp' | grep -q ."
}
stopped INT 130 interrupted --lr-schedule constant --steps 100000
at=$(tail -n 1 interrupted/log.csv | cut -d, -f1)
check "resuming after SIGINT, with --steps" athanor train --out interrupted --resume --quiet --steps $((at + 5)) --threads 2
check "the same, unbroken" athanor train "${options[@]}" --sample-count 0 --batch 32 --lr-schedule constant --steps $((at + 5)) --out interrupted-not
check "after SIGINT at step $at: the same weights" cmp interrupted/$weights interrupted-not/$weights
check "after SIGINT at step $at: the same state" same_state interrupted/training_state.safetensors interrupted-not/training_state.safetensors
check "after SIGINT: the log has each step once" each_step_once interrupted $((at + 5))

steps=${UNDER_VALGRIND:+20}
steps=${steps:-120}
stopped TERM 143 terminated --steps $steps
check "resuming after SIGTERM" athanor train --out terminated --resume --quiet
check "the same, unbroken" athanor train "${options[@]}" --sample-count 0 --batch 32 --steps $steps --out terminated-not
check "after SIGTERM, with a cosine of the rate: the files of the unbroken run" like terminated terminated-not

# A second signal does not wait for the end of the step, here of minutes.
train_behind "${options[@]}" --batch 400000 --steps 2 --out slow
if ! wait_for 60 test -s slow/log.csv; then failed "slow does not begin" "$(cat err)"; fi
moment=${UNDER_VALGRIND:+3} # until a signal has come through, or the second is none
moment=${moment:-0.3}
sleep "$moment"
kill -TERM $pid
sleep "$moment"
check "the first signal waits for the step" kill -0 $pid
begin=$SECONDS
kill -TERM $pid
ended
same "two signals: exit status" $code 143
check "the second signal ends at once" test $((SECONDS - begin)) -lt 10

# ---- numbers that are not finite ----

cp -r interrupted-not nan
read -r _ _ begin _ < <(entry nan/training_state.safetensors weights/conv_in.weight)
bytes 0 0 192 127 | dd of=nan/training_state.safetensors bs=1 seek=$(($(header_length nan/training_state.safetensors) + 8 + begin)) conv=notrunc 2>/dev/null
before=$(cksum <nan/training_state.safetensors)
fails_with 1 "nan: loss or gradient was not finite 10 steps in a row; the checkpoint of step $((at + 5)) stands" \
           athanor train --out nan --resume --quiet --steps $((at + 100))
same "ten steps that are not finite leave the checkpoint" "$(cksum <nan/training_state.safetensors)" "$before"
check "sampling from it works" athanor sample nan -o nan.png --steps 2 --count 1 --quiet

done_testing
