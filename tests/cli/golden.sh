# Trajectories of other programs, followed from outside: an exact model from mixture.json, levels, starting state and
# noise from files, the states out of --trajectory. tests/golden/README.md says where they are from.
. "$(dirname -- "$0")/lib.bash"

cd "$tmp" || exit 1
cat >follow.py <<'PYTHON'
"""follow.py GOLDEN_FOLDER PROGRAM FILE[:GROUP] CASE SAMPLER PROCESS: runs one case, prints the worst relative error."""
import json, subprocess, sys
from tensors import load, save

folder, program, file, name, sampler, process = sys.argv[1:]
file, _, group = file.partition(":")
read = lambda f: json.load(open(f"{folder}/{f}.json"))
root = read(file)
case = next(c for c in (root[group] if group else root)["cases"] if c["id"] == name)
data, noise = read("mixtures")[case["mixture"]], read("noise")[case["mixture"]]["noise"]
n, dim = len(case["x"][0]), data["d"]

def flat(x):
    return [v for y in x for v in flat(y)] if isinstance(x, list) else [float(x)]

json.dump({"_class_name": "GaussianMixture", "shape": [1, 1, dim], "weights": data["weights"], "means": data["means"],
           "stds": data["stds"], "process": process}, open("mixture.json", "w"))
if "sigmas" in case or "t_steps" in case:
    json.dump({"sigmas": case.get("sigmas", case.get("t_steps"))}, open("levels.json", "w"))
else:
    json.dump({"timesteps": case["timesteps"]}, open("levels.json", "w"))
save("noise.safetensors", {"x_start": ([n, 1, 1, dim], flat(case["x"][0])),
                           "noise": ([len(noise), n, 1, 1, dim], flat(noise))})
subprocess.run([program, "sample", "mixture.json", "--sampler", sampler, "--levels", "levels.json", "--noise",
                "noise.safetensors", "--trajectory", "t.safetensors", "--quiet", "--threads", "1"], check=True,
               stdout=subprocess.DEVNULL)
shape, got, meta = load("t.safetensors", "x")
assert shape == [len(case["x"]), n, 1, 1, dim], (shape, len(case["x"]))
worst = 0
for i, state in enumerate(case["x"]):
    state, ours = flat(state), got[i * n * dim:(i + 1) * n * dim]
    worst = max(worst, max(abs(a - b) for a, b in zip(state, ours)) / max(1, max(map(abs, state))))
assert worst < 1e-9, f"{name}: {worst:.1e}"
print(f"{name}: {worst:.1e}, {meta['nfe']} evaluations")
PYTHON

# follows FILE[:GROUP] CASE SAMPLER PROCESS
follows() {
    check "$2 with $3 on $4" with_modules python3 follow.py "$source_dir/tests/golden" "$program" "$@"
    cat "$tmp/check.out"
}
follows diffusers_ddim ddim_eta0.5_n10 ddim:eta=0.5 vp
follows diffusers_ddpm ddpm_fixed_large_n10 ddpm:variance=fixed_large vp
follows exponential dpmpp_2m_karras_n5 dpmpp_2m vp
follows exponential k_dpmpp_3m_sde_n5 dpmpp_3m_sde ve
follows exponential k_dpmpp_sde_brown_n5 dpmpp_sde ve
follows multistep:zju_diff_sampler own_abv4_n5 ipndm_v ve
follows multistep:zju_diff_sampler zju_ipndm4_n5 ipndm ve
done_testing
