# A run directory has one trainer at a time: another is refused and told whom to look for, and
# the lock of one that was killed is taken over.
. "$(dirname -- "$0")/lib.bash"

cd "$tmp" || exit 1
make_idx data 12 8 3
options=(--data data "${tiny_net[@]}" --batch 4 --sample-count 0 --quiet --threads 1)
before_cleanup() { if [ -n "$pid" ]; then kill -9 $pid 2>/dev/null; fi; }
pid=
train_behind() { "$program" train "$@" >behind.out 2>behind.err & pid=$!; }
ended() { code=0; wait $pid 2>/dev/null || code=$?; pid=; }

train_behind "${options[@]}" --steps 1000000 --save-every 20 --out run
if ! wait_for 60 has_steps run 30; then failed "the run does not begin" "$(cat behind.err)"; fi
same "the lock says who holds it" "$(cat run/train.lock)" "$pid $(uname -n)"
held="run/train.lock: this run is being trained by process $pid on $(uname -n)"
fails_with 1 "$held" athanor train --out run --resume --quiet
fails_with 1 "$held" athanor train "${options[@]}" --steps 3 --out run
fails_with 1 "$held" athanor train "${options[@]}" --steps 3 --out ./run/ --resume
check "a run that is being trained can be sampled" athanor sample run -o grid.png --steps 2 --count 1 --quiet --threads 1
check "and looked at" athanor info run
check "it goes on" kill -0 $pid
check "the lock is where it was" grep -q "^$pid " run/train.lock

kill -9 $pid
ended
check "a killed trainer leaves its lock" test -f run/train.lock
exits 0 athanor train --out run --resume --quiet --steps 1
check "it is taken over, and removed at the end" test ! -e run/train.lock

echo "1 another-machine" >run/train.lock # as a reboot leaves it: process 1 is alive
exits 0 athanor train --out run --resume --quiet --steps 1
check "the number of a process that lives means nothing" test ! -e run/train.lock

# ---- it is removed however a run ends but by kill -9 ----

train_behind "${options[@]}" --steps 1000000 --out stopped
if ! wait_for 60 has_steps stopped 3; then failed "the run does not begin" "$(cat behind.err)"; fi
kill -INT $pid
ended
same "SIGINT: exit status" $code 130
check "SIGINT: no lock is left" test ! -e stopped/train.lock
fails_with 2 'run: holds a run already' athanor train "${options[@]}" --steps 3 --out run
check "a refused run: no lock is left" test ! -e run/train.lock
cp -r run damaged
head -c 1000 run/training_state.safetensors >damaged/training_state.safetensors
fails_with 1 'damaged/training_state.safetensors: ' athanor train --out damaged --resume --quiet
check "a damaged run: no lock is left" test ! -e damaged/train.lock
fails_with 2 'loss-weight' athanor train "${options[@]}" --steps 3 --out never --loss-weight nonsense
check "a wrong option: no folder is made" test ! -e never

# ---- many at once: one of them trains, the others are refused ----

for i in 1 2 3 4 5 6; do
    "$program" train "${options[@]}" --steps 150 --out race >race.out$i 2>race.err$i & pids[i]=$!
done
won=0 refused=0
for i in 1 2 3 4 5 6; do
    code=0
    wait "${pids[i]}" || code=$?
    if [ $code = 0 ]; then won=$((won + 1))
    elif grep -qE 'race/train.lock: this run is being trained by|race: holds a run already' race.err$i; then refused=$((refused + 1))
    else failed "exit status $code" "$(cat race.err$i)"
    fi
done
same "of six trainers of one run one wins" "$won $refused" "1 5"
check "its log has each step once" eval 'diff <(tail -n +2 race/log.csv | cut -d, -f1) <(seq 150)'
check "no lock is left" test ! -e race/train.lock

done_testing
