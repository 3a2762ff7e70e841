# Exact models through `info` and `forward`: what they say of mixture.json, and y against the numbers of
# tests/golden/model_values.json, which are at levels of a vp process. Those of ve and of a flow follow: where sigma/alpha is
# the same, x is scaled and eps and x0 are the same.
. "$(dirname -- "$0")/lib.bash"

cd "$tmp" || exit 1
quiet=(--threads 1)
cat >vp.json <<'JSON'
{"_class_name": "GaussianMixture", "shape": [1, 1, 2], "weights": [0.3, 0.5, 0.2],
 "means": [[-0.8, 0.5], [0.7, 0.9], [0.2, -1.1]], "stds": [0.25, 0.15, 0.35]}
JSON
sed 's/"stds"/"process": "ve", "schedule": {"sigma_max": 50}, "stds"/' vp.json >ve.json
sed 's/"stds"/"process": "flow", "schedule": {"shift": 3}, "stds"/' vp.json >flow.json
sed 's/"stds"/"schedule": {"beta_schedule": "squaredcos_cap_v2", "num_train_timesteps": 100}, "stds"/' vp.json >cosine.json

# ---- info ----

exits 0 athanor info vp.json
same "one fact a line" "$(cut -c1-24 out | tr -s ' ' | tr -d '\n')" "kind image parts rms process schedule timesteps zero_snr sigma_min sigma_max "
check "the kind" grep -q '^kind  *exact model$' out
exits 0 athanor info vp.json --json
check "one JSON object" is_json_line out
same "parts, schedule" "$(json_value out parts) $(json_value out process) $(json_value out schedule) $(json_value out timesteps)" "3 vp linear 1000"
same "its shape" "$(grep -o '"image": \[[0-9, ]*\]' out)" '"image": [2, 1, 1]'
check "sigma/alpha of the first timestep is 0.01" grep -qE '"sigma_min": 0\.0100005' out
exits 0 athanor info ve.json --json
same "ve" "$(json_value out process) $(json_value out sigma_min) $(json_value out sigma_max) $(json_value out rho)" "ve 0.002 50.0 7.0"
exits 0 athanor info flow.json --json
same "a flow" "$(json_value out process) $(json_value out shift) $(json_value out timesteps)" "flow 3.0 "
exits 0 athanor info cosine.json --json
same "a schedule of its own" "$(json_value out schedule) $(json_value out timesteps)" "cosine 100"
make_idx data 12 8 2
echo '{"_class_name": "GaussianMixture", "dataset": "data", "limit": 7, "std": 0.1}' >set.json
exits 0 athanor info set.json --json
same "a data set is a part an image" "$(json_value out parts) $(grep -o '"image": \[[0-9, ]*\]' out)" '7 "image": [8, 8, 1]'

sed 's/GaussianMixture/GaussianMixtur/' vp.json >class.json
fails_with 1 'class.json: _class_name' athanor info class.json
sed 's/0.35\]/-1]/' vp.json >std.json
fails_with 1 'std.json: .*std' athanor info std.json
echo '{"_class_name": ' >cut.json
fails_with 1 'cut.json' athanor info cut.json
fails_with 1 'nowhere.json: cannot open' athanor info nowhere.json
echo '{"_class_name": "GaussianMixture", "dataset": "nowhere"}' >lost.json
fails_with 1 'lost.json: dataset: .*nowhere' athanor info lost.json --json

# ---- forward: mistakes ----

bytes 0 0 0 0 0 0 0 0 >two.f32 # x = (0, 0)
bytes 0 0 0 0 >zero.f32
bytes 0 0 122 69 >late.f32 # 4000
make_safetensors in.safetensors x F32 "[1,1,1,2]" two.f32 timesteps F32 "[1]" zero.f32
make_safetensors late.safetensors x F32 "[1,1,1,2]" two.f32 timesteps F32 "[1]" late.f32
make_safetensors tall.safetensors x F32 "[1,1,2,1]" two.f32 timesteps F32 "[1]" zero.f32
make_safetensors timeless.safetensors x F32 "[1,1,1,2]" two.f32
exits 0 athanor forward vp.json --input in.safetensors --output y.safetensors --json "${quiet[@]}"
same "what y is" "$(json_value out prediction_type) $(json_value out images)" "epsilon 1"
same "y is double" "$(entry y.safetensors y | cut -d' ' -f1,2)" "F64 [1,1,1,2]"
exits 0 athanor forward flow.json --input in.safetensors --output y.safetensors --json "${quiet[@]}"
same "what y is" "$(json_value out prediction_type)" "flow"
fails_with 2 '--gradients: vp.json is an exact model' athanor forward vp.json --input in.safetensors --output no --gradients g
fails_with 2 '--gradients: vp.json is an exact model' athanor forward vp.json --input in.safetensors --gradients g
fails_with 1 'late.safetensors: timestep 0 is 4000, expected 0 to 999' athanor forward vp.json --input late.safetensors --output no
fails_with 1 'late.safetensors: timestep 0 is 4000, expected 0 to 1000' athanor forward flow.json --input late.safetensors --output no
fails_with 1 'late.safetensors: timestep 0 is 4000, expected log' athanor forward ve.json --input late.safetensors --output no
fails_with 1 'tall.safetensors: tensor "x" is not of shape \[1,1,1,2\]' athanor forward vp.json --input tall.safetensors --output no
fails_with 1 'timeless.safetensors: tensor "timesteps" is missing' athanor forward vp.json --input timeless.safetensors --output no
fails_with 1 'class.json: _class_name' athanor forward class.json --input in.safetensors --output no
check "nothing was written" test ! -e no -a ! -e g

# ---- forward: values ----

if [ ! -x /usr/bin/python3 ]; then
    echo "no python3: values are not compared"
    done_testing
fi
cat >values.py <<'PYTHON'
"""values.py GOLDEN_FOLDER PROGRAM: forward on every process against model_values.json; prints the worst errors."""
import json, math, subprocess, sys
from tensors import load, save

folder, program = sys.argv[1:]
data = json.load(open(f"{folder}/mixtures.json"))["A2"]
cases = [c for c in json.load(open(f"{folder}/model_values.json"))["cases"] if c["mixture"] == "A2" and c["kind"] == "vp"]
cases.sort(key=lambda c: -c["abar"])
dim = data["d"]

def betas_of(abar):
    return [1 - a / b for a, b in zip(abar, [1] + abar[:-1])]

def forward(name, process, schedule, level_of, says):
    """level_of(k, abar): the timestep and what x of the vp process is multiplied by."""
    json.dump({"_class_name": "GaussianMixture", "shape": [1, 1, dim], "weights": data["weights"], "means": data["means"],
               "stds": data["stds"], "process": process, "schedule": schedule}, open("mixture.json", "w"))
    x, t, expected = [], [], []
    for k, case in enumerate(cases):
        step, scale = level_of(k, case["abar"])
        for x_k, eps, x0 in zip(case["x"], case["eps"], case["x0"]):
            x += [scale * v for v in x_k]
            t.append(step)
            expected += [e - v for e, v in zip(eps, x0)] if says == "flow" else eps
    save("in.safetensors", {"x": ([len(t), 1, 1, dim], x), "timesteps": ([len(t)], t)})
    subprocess.run([program, "forward", "mixture.json", "--input", "in.safetensors", "--output", "y.safetensors",
                    "--threads", "1"], check=True)
    _, y, meta = load("y.safetensors", "y")
    assert meta["prediction_type"] == says, meta
    assert len(y) == len(expected) > 50, len(y)
    worst = max(abs(a - b) / max(1, abs(b)) for a, b in zip(y, expected))
    assert worst < 1e-10, f"{name}: {worst:.1e}"
    print(f"{name}: {worst:.1e}")

ratio2 = [(1 - c["abar"]) / c["abar"] for c in cases]
around = [1 / (1 + r * f) for r in ratio2 for f in (1 / 1.01, 1.01)]  # half way between lies r, log by log
forward("vp", "vp", {"trained_betas": betas_of([c["abar"] for c in cases])}, lambda k, abar: (k, 1), "epsilon")
forward("vp at fractions", "vp", {"trained_betas": betas_of(around)}, lambda k, abar: (2 * k + 0.5, 1), "epsilon")
forward("ve", "ve", {}, lambda k, abar: (math.log((1 - abar) / abar) / 8, 1 / math.sqrt(abar)), "epsilon")
total = lambda abar: math.sqrt(abar) + math.sqrt(1 - abar)
forward("flow", "flow", {}, lambda k, abar: (1000 * math.sqrt(1 - abar) / total(abar), 1 / total(abar)), "flow")
PYTHON
check "y is that of model_values.json" with_modules python3 values.py "$source_dir/tests/golden" "$program"
cat "$tmp/check.out"
done_testing
