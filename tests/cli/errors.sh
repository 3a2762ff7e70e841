# What goes wrong: exit status 2 when the command line is at fault and 1 when the work failed,
# one line on standard error that names the fault, nothing on standard output, and no file
# made or changed.
. "$(dirname -- "$0")/lib.bash"

work=$tmp/work
mkdir "$work"
cd "$work" || exit 1
make_idx data 12 8 3
mkdir unlabelled && cp data/train-images-idx3-ubyte unlabelled/
quick=(--threads 1 --quiet --batch 4 --steps 2 --sample-count 0)
athanor train --data data --out run "${tiny_net[@]}" "${quick[@]}" >/dev/null || exit 1
athanor train --data data --out classes --class-conditional "${tiny_net[@]}" "${quick[@]}" >/dev/null || exit 1
athanor train --data data --out null --class-conditional --label-dropout 0.2 "${tiny_net[@]}" "${quick[@]}" >/dev/null || exit 1
weights=unet/diffusion_pytorch_model.safetensors

mkdir empty
head -c 200 data/train-images-idx3-ubyte >short-idx3-ubyte
head -c 10 data/train-images-idx3-ubyte >header-idx3-ubyte
gzip -c data/train-images-idx3-ubyte | head -c 100 >cut.gz
{ gzip -c data/train-images-idx3-ubyte | head -c 60; echo garbage in the middle of the data; } >damaged.gz
: >nothing
echo hello, world >text.txt
mkdir few && cp data/train-images-idx3-ubyte few/ && { bytes 0 0 8 1; u32 11; printf '%11s' ''; } >few/train-labels-idx1-ubyte
mkdir wide && { bytes 0 0 8 3; u32 2 8 6; printf '%96s' ''; } >wide/train-images-idx3-ubyte
athanor sample run --count 3 --steps 1 --images pictures --quiet --threads 1 >/dev/null || exit 1
cp -r pictures damaged && head -c 80 pictures/000001.png >damaged/000001.png
cp -r pictures notpng && echo no picture >notpng/000002.png

# Copies of the run with one thing wrong each.
spoil() { cp -r run "$1"; }
spoil cut && head -c 5000 run/$weights >cut/$weights
spoil stub && head -c 4 run/$weights >stub/$weights
spoil noweights && rm noweights/$weights
spoil missing && sed 's/conv_out\.bias/conv_out.bios/' run/$weights >missing/$weights
spoil shape && sed -i '/"block_out_channels"/,/\]/ s/\b16\b/24/' shape/unet/config.json
spoil groups && sed -i 's/"norm_num_groups": 4/"norm_num_groups": 3/' groups/unet/config.json
spoil negative && sed -i 's/"layers_per_block": 1/"layers_per_block": -1/' negative/unet/config.json
spoil class && sed -i 's/UNet2DModel/UNet7DModel/' class/unet/config.json
spoil prediction && sed -i 's/"epsilon"/"epsilom"/' prediction/scheduler/scheduler_config.json
spoil schedule && sed -i -e '/_athanor_schedule/d' -e 's/"trained_betas": .*/"trained_betas": null,/' -e '/^    [0-9].*,\?$/d' -e '/^  \],$/d' -e 's/"beta_schedule": "[a-z_0-9]*"/"beta_schedule": "linar"/' schedule/scheduler/scheduler_config.json
spoil steps && sed -i 's/"num_train_timesteps": 50/"num_train_timesteps": 4294967297/' steps/scheduler/scheduler_config.json
spoil json && sed -i '3s/,$//' json/unet/config.json
spoil json2 && sed -i '4s/:/=/' json2/scheduler/scheduler_config.json
spoil nojson && : >nojson/unet/config.json
spoil nullclass && sed -i 's/{/{ "_athanor_null_class": 77,/' nullclass/unet/config.json
cp -r null bignull && sed -i 's/"_athanor_null_class": 3/"_athanor_null_class": 77/' bignull/unet/config.json
cp -r run state && cp classes/training_state.safetensors state/
spoil cutstate && head -c 6000 run/training_state.safetensors >cutstate/training_state.safetensors
spoil trainjson && sed -i 's/"batch": 4/"batch": "four"/' trainjson/train.json
mkdir stateless && cp -r run/model_index.json run/unet run/scheduler stateless/

echo '{"timesteps": [40, 30, 30]}' >levels-equal.json
echo '{"timesteps": [50, 10]}' >levels-high.json
echo '{"timesteps": [40, "ten"]}' >levels-text.json
echo '{"timesteps": []}' >levels-empty.json
echo '[40, 10]' >levels-list.json
printf '{"timesteps":\n [40,\n 10}\n' >levels-broken.json
echo '{"batch": 4, "btach": 8}' >unknown-key.json
echo '{"batch": [1, [2]]}' >wrong-type.json
printf '{\n  "batch": 4,\n  "steps" 3\n}\n' >broken.json

# refuses CODE WORD COMMAND...: fails_with, and nothing in the folder is made or changed
before=$(fingerprint .)
refuses() {
    fails_with "$@"
    local after
    after=$(fingerprint .)
    if [ "$after" != "$before" ]; then
        failed "files were made or changed by: ${*:3}" "$(diff <(echo "$before") <(echo "$after") | head -n 5)"
        before=$after
    else
        passed
    fi
}

# ---- the command line ----

code=0
athanor >"$tmp/out" 2>"$tmp/err" || code=$?
same "no command: exit status" $code 2
same "no command: nothing on standard output" "$(cat "$tmp/out")" ""
check "no command: the usage" grep -q '^usage: athanor COMMAND' "$tmp/err"
refuses 2 'no such command; did you mean train\?' athanor trian
refuses 2 'no such command; did you mean sample\?' athanor samples run
refuses 2 'no such command; see athanor --help' athanor xyzzyxyzzy
refuses 2 'no such command' athanor ''
for command in train sample forward info list bench; do
    exits 0 athanor $command --help
    same "$command --help: nothing on standard error" "$(cat "$tmp/err")" ""
    check "$command --help: the usage" grep -q "^usage: athanor $command" "$tmp/out"
    refuses 2 '--xyzzyxyzzy: no such option' athanor $command --xyzzyxyzzy
    refuses 2 '-x: no such option' athanor $command -x
done
refuses 2 '--stesp: no such option; did you mean --steps\?' athanor sample run --stesp 3 -o grid.png
refuses 2 '--batchs: no such option; did you mean --batch\?' athanor train --batchs=3
refuses 2 '--no-steps: no such option' athanor sample run --no-steps
refuses 2 '--steps: expects a value' athanor sample run -o grid.png --steps
refuses 2 '-o: expects a value' athanor sample run -o
refuses 2 '--steps: "many" is not a whole number' athanor sample run -o grid.png --steps many
refuses 2 '--steps: "3.5" is not a whole number' athanor sample run -o grid.png --steps 3.5
refuses 2 '--steps: "3x" is not a whole number' athanor sample run -o grid.png --steps 3x
refuses 2 '--steps: "" is not a whole number' athanor sample run -o grid.png --steps=
refuses 2 '--steps: "99999999999999999999" is not a whole number' athanor sample run -o grid.png --steps 99999999999999999999
refuses 2 '--steps: 0 is out of range, expected 1 to' athanor sample run -o grid.png --steps 0
refuses 2 '--steps: -4 is out of range' athanor sample run -o grid.png --steps -4
refuses 2 '--steps: 51 steps: expected 1 to the schedule.s 50' athanor sample run -o grid.png --steps 51
refuses 2 '--guidance: "nan" is not a number' athanor sample null -o grid.png --guidance nan
refuses 2 '--guidance: "inf" is not a number' athanor sample null -o grid.png --guidance inf
refuses 2 '--quiet: "perhaps" is neither true nor false' athanor sample run -o grid.png --quiet=perhaps
refuses 2 '--out: longer than 1023 characters' athanor sample run -o "$(printf '%1100s' x)"
refuses 2 '"more": one argument too many' athanor sample run more -o grid.png
refuses 2 'RUN: say which run directory' athanor sample -o grid.png
refuses 2 '-o: say where the grid goes' athanor sample run
refuses 2 'RUN: say which directory' athanor forward --input x --output y
refuses 2 '--input: say which file' athanor forward run --output y
refuses 2 '--output: say where' athanor forward run --input x
refuses 2 'PATH: say what to describe' athanor info
refuses 2 'expected samplers, nets' athanor list
refuses 2 'samplrs.*did you mean samplers\?' athanor list samplrs
refuses 2 'dimd.*did you mean ddim\?.*ddpm' athanor list samplers dimd
refuses 2 'unett.*did you mean unet\?.*mlp, unet' athanor list nets unett
refuses 2 'cosin.*did you mean cosine\?' athanor list schedules cosin

# ---- names that are not known: the known ones, and the nearest ----

refuses 2 '--sampler: "dimd" is not known; did you mean ddim\?.*ddim, ddpm' athanor sample run -o grid.png --sampler dimd
refuses 2 '--sampler ddim: et: no such option; did you mean eta\?' athanor sample run -o grid.png --sampler ddim:et=1
refuses 2 '--sampler ddim: eta: "big" is not a number' athanor sample run -o grid.png --sampler ddim:eta=big
refuses 2 '--sampler ddim: "eta": expected key=value' athanor sample run -o grid.png --sampler ddim:eta
refuses 2 '--spacing: "trailling" is not known.*leading.*linspace.*trailing' athanor sample run -o grid.png --spacing trailling
new=(--quiet --threads 1 --data data --out new)
refuses 2 '--net: "unett" is not known; did you mean unet\?.*mlp, unet' athanor train "${new[@]}" --net unett
refuses 2 '--zero-snr with --objective epsilon: expected --objective v_prediction or sample' athanor train "${new[@]}" --zero-snr
refuses 2 '--schedule: "cosin" is not known.*linear.*cosine.*su' athanor train "${new[@]}" --schedule cosin
refuses 2 '--objective: "epsilom" is not known.*epsilon.*v_prediction' athanor train "${new[@]}" --objective epsilom
refuses 2 '--loss-weight: "min-sbr" is not known.*min-snr' athanor train "${new[@]}" --loss-weight min-sbr
refuses 2 '--optimizer: "adam" is not known.*adamw' athanor train "${new[@]}" --optimizer adam
refuses 2 '--preset.*"tinny" is not known.*tiny.*mnist-s.*did you mean tiny\?' athanor train "${new[@]}" --preset tinny
refuses 2 '--sample-sampler: "dimd" is not known; did you mean ddim\?.*ddim, ddpm' athanor train "${new[@]}" --sample-sampler dimd
refuses 2 'net-options: dpth: no such option' athanor train "${new[@]}" --net-options dpth=3
refuses 2 '"tinny" is not known.*did you mean tiny\?' athanor bench --preset tinny
refuses 2 '--net: "unett" is not known; did you mean unet\?.*mlp, unet' athanor bench --net unett
refuses 2 '--mode: "trane" is not known.*train.*sample.*both' athanor bench --mode trane

# ---- train: numbers, and networks that cannot be ----

refuses 2 '--lr: "fast" is not a number' athanor train "${new[@]}" --lr fast
refuses 2 '--batch: 0 is out of range, expected 1' athanor train "${new[@]}" --batch 0
refuses 2 '--label-dropout: 1.5 is out of range, expected 0 to 1' athanor train "${new[@]}" --label-dropout 1.5
refuses 2 '--channel-mults: "1,two" is not a list' athanor train "${new[@]}" --channel-mults 1,two
refuses 2 '--channel-mults: .*0 is out of range' athanor train "${new[@]}" --channel-mults 1,0
refuses 2 'channels: 2, expected 1 .*3' athanor train "${new[@]}" --channels 2
refuses 2 '--attention: 5 is no resolution of this network, expected some of 8, 4, 2, or none' athanor train "${new[@]}" --attention 4,5 --preset mnist-s
refuses 2 '--attention: 2 is no resolution of this network, expected some of 8, 4, or none' athanor train "${new[@]}" --attention 2 --channel-mults 1,2
refuses 2 '--attention: the network mlp has none' athanor train "${new[@]}" --attention 4 --net mlp
refuses 2 '--attention: 8 is no resolution of this network, expected some of 28, 14, 7, or none' athanor bench --preset mnist-s --attention 8
refuses 2 'groups' athanor train "${new[@]}" --base-channels 8 --norm-groups 3
refuses 2 '.' athanor train "${new[@]}" --channel-mults 1,2,2,2,2,2 --base-channels 8 --norm-groups 4
refuses 2 'class-conditional: the data has no labels' athanor train "${new[@]}" --data unlabelled --class-conditional
refuses 2 'label-dropout: needs --class-conditional' athanor train "${new[@]}" --label-dropout 0.1
refuses 2 'data: images of 6x8 are not square; use --image-size' athanor train "${new[@]}" --data wide

# ---- data ----

for command in train info; do
    given=(info)
    if [ $command = train ]; then given=(train --quiet --out new --data); fi
    refuses 1 'nowhere: .*No such file' athanor "${given[@]}" nowhere
    refuses 1 'short-idx3-ubyte: ends after 200 bytes, its IDX header promises 784' athanor "${given[@]}" short-idx3-ubyte
    refuses 1 'header-idx3-ubyte: ends within the IDX header' athanor "${given[@]}" header-idx3-ubyte
    refuses 1 'cut.gz: .*(truncated|damaged) gzip' athanor "${given[@]}" cut.gz
    refuses 1 'damaged.gz: .*(truncated|damaged) gzip' athanor "${given[@]}" damaged.gz
    refuses 1 'nothing: the file is empty' athanor "${given[@]}" nothing
    refuses 1 'text.txt: .*no data set' athanor "${given[@]}" text.txt
    refuses 1 'empty: the folder is empty: expected' athanor "${given[@]}" empty
    refuses 1 'few/train-labels-idx1-ubyte: holds 11 labels, expected 12' athanor "${given[@]}" few
    refuses 1 'damaged/000001.png: ' athanor "${given[@]}" damaged
    refuses 1 'notpng/000002.png: ' athanor "${given[@]}" notpng
    refuses 1 'single PNG picture' athanor "${given[@]}" pictures/000000.png
    refuses 1 'pictures/000000.png: has .* pixels, expected at most 10 in all: see --max-pixels' athanor "${given[@]}" pictures --max-pixels 10
    refuses 2 '--max-pixels: 0 is out of range' athanor "${given[@]}" pictures --max-pixels 0
    refuses 2 'background: "pink", expected black, white or r,g,b' athanor "${given[@]}" pictures --background pink
    refuses 2 'coarse_labels: pictures is folder of pictures, expected CIFAR-100' athanor "${given[@]}" pictures --coarse-labels
done

# ---- runs and checkpoints ----

grid=(-o grid.png --quiet --threads 1 --steps 2 --count 4)
refuses 1 'nowhere: no such run directory' athanor sample nowhere "${grid[@]}"
refuses 1 'empty: is not a model: expected unet/config.json' athanor sample empty "${grid[@]}"
refuses 1 'cut/unet/diffusion_pytorch_model.safetensors: ' athanor sample cut "${grid[@]}"
refuses 1 'stub/unet/diffusion_pytorch_model.safetensors: not a safetensors file: 4 bytes' athanor sample stub "${grid[@]}"
refuses 1 'noweights/unet: has no weights: expected diffusion_pytorch_model.safetensors or' athanor sample noweights "${grid[@]}"
refuses 1 'missing/unet/diffusion_pytorch_model.safetensors: tensor "conv_out.bi.s" (is missing|does not belong)' athanor sample missing "${grid[@]}"
refuses 1 'shape/unet/diffusion_pytorch_model.safetensors: tensor "[a-z_0-9.]*" has shape \[.*\], expected \[' athanor sample shape "${grid[@]}"
refuses 1 'groups/unet/config.json: .*8 channels cannot be split into 3 groups' athanor sample groups "${grid[@]}"
refuses 1 'negative/unet/config.json: layers_per_block: -1 is out of range' athanor sample negative "${grid[@]}"
refuses 1 'class/unet/config.json: _class_name "UNet7DModel" is not a network known' athanor sample class "${grid[@]}"
refuses 1 'prediction/scheduler/scheduler_config.json: prediction_type: .*epsilom.*epsilon' athanor sample prediction "${grid[@]}"
refuses 1 'schedule/scheduler/scheduler_config.json: .*beta_schedule "linar" is not known' athanor sample schedule "${grid[@]}"
refuses 1 'steps/scheduler/scheduler_config.json: num_train_timesteps: expected a number from 1 to 1000000' athanor sample steps "${grid[@]}"
refuses 1 'json/unet/config.json: line [34]: ' athanor sample json "${grid[@]}"
refuses 1 'json2/scheduler/scheduler_config.json: line 4: ' athanor sample json2 "${grid[@]}"
refuses 1 'nojson/unet/config.json: line 1: ' athanor sample nojson "${grid[@]}"
refuses 1 'nullclass/unet/config.json: _athanor_null_class' athanor sample nullclass "${grid[@]}"
refuses 1 'bignull/unet/config.json: _athanor_null_class' athanor sample bignull "${grid[@]}" --guidance 2
refuses 1 'cut/unet/diffusion_pytorch_model.safetensors: ' athanor info cut
refuses 1 'cut/unet/diffusion_pytorch_model.safetensors: ' athanor info cut/$weights --json
refuses 1 'shape/unet/diffusion_pytorch_model.safetensors: tensor' athanor forward shape --input run/$weights --output y.safetensors

# ---- sample's own ----

refuses 2 '--grid: "4by4" is not COLSxROWS' athanor sample run "${grid[@]}" --grid 4by4
refuses 2 '--grid: "0x3" is not COLSxROWS' athanor sample run "${grid[@]}" --grid 0x3
refuses 2 '--grid: "3x3x3" is not COLSxROWS' athanor sample run "${grid[@]}" --grid 3x3x3
refuses 2 '--class: this model was trained without classes' athanor sample run "${grid[@]}" --class 0
refuses 2 '--class: 3, expected 0 to 2' athanor sample classes "${grid[@]}" --class 3
refuses 2 '--class: 3, expected 0 to 2' athanor sample null "${grid[@]}" --class 3
refuses 2 'guidance.*no null class.*--label-dropout' athanor sample run "${grid[@]}" --guidance 2
refuses 2 'guidance.*no null class.*--label-dropout' athanor sample classes "${grid[@]}" --guidance 2
refuses 2 '--skip-tuning: "a:b" is not A or A:B' athanor sample run "${grid[@]}" --skip-tuning a:b
refuses 1 'levels-equal.json: timestep 2 is not below' athanor sample run "${grid[@]}" --levels levels-equal.json
refuses 1 'levels-high.json: timestep 0 is not a number from 0 to 49' athanor sample run "${grid[@]}" --levels levels-high.json
refuses 1 'levels-text.json: timestep 1 is not a number' athanor sample run "${grid[@]}" --levels levels-text.json
refuses 1 'levels-empty.json: expected' athanor sample run "${grid[@]}" --levels levels-empty.json
refuses 1 'levels-list.json: expected a JSON object' athanor sample run "${grid[@]}" --levels levels-list.json
refuses 1 'levels-broken.json: line 3: ' athanor sample run "${grid[@]}" --levels levels-broken.json
refuses 1 'nowhere.json: cannot open: No such file' athanor sample run "${grid[@]}" --levels nowhere.json
refuses 1 'nowhere.safetensors: cannot open: No such file' athanor sample run "${grid[@]}" --noise nowhere.safetensors
refuses 1 'expected a tensor x_init or x_start' athanor sample run "${grid[@]}" --noise run/$weights
refuses 1 'nowhere/grid.png: cannot write: No such file or directory' athanor sample run "${grid[@]}" -o nowhere/grid.png
refuses 1 'text.txt/grid.png: cannot write: Not a directory' athanor sample run "${grid[@]}" -o text.txt/grid.png
refuses 1 'empty: ' athanor sample run "${grid[@]}" -o empty
refuses 1 'text.txt: cannot create folder' athanor sample run --quiet --threads 1 --steps 1 --count 1 --images text.txt
refuses 1 'nowhere/t.safetensors: cannot write' athanor sample run --quiet --threads 1 --steps 1 --count 1 --trajectory nowhere/t.safetensors
if [ "$(id -u)" != 0 ]; then
    chmod -w empty
    refuses 1 'empty/grid.png: cannot write: Permission denied' athanor sample run "${grid[@]}" -o empty/grid.png
    chmod +w empty
fi
refuses 1 'tensor|expected' athanor forward run --input run/$weights --output y.safetensors
refuses 1 'nowhere: cannot open' athanor forward run --input nowhere --output y.safetensors

# ---- train on what is there already ----

again=("${tiny_net[@]}" "${quick[@]}")
refuses 2 'run: holds a run already; go on with --resume' athanor train --data data --out run "${again[@]}"
refuses 2 'stateless: holds a model without a training state' athanor train --data data --out stateless "${again[@]}"
refuses 2 'stateless: holds a model without a training state' athanor train --data data --out stateless --resume "${again[@]}"
refuses 2 '--resume: say which run with --out' athanor train --data data --resume "${again[@]}"
refuses 1 'state/training_state.safetensors: .*another network' athanor train --out state --resume --steps 4 --quiet
refuses 1 'run/training_state.safetensors: tensor .* of another shape' athanor train --out run --resume --steps 4 --channel-mults 1,3 --quiet
refuses 1 'cutstate/training_state.safetensors: ' athanor train --out cutstate --resume --steps 4 --quiet
refuses 1 'trainjson/train.json: batch: "four" is not a whole number' athanor train --out trainjson --resume --steps 4 --quiet
refuses 1 'unknown-key.json: btach: no such option; did you mean batch\?' athanor train --config unknown-key.json "${new[@]}"
refuses 1 'wrong-type.json: batch: ' athanor train --config wrong-type.json "${new[@]}"
refuses 1 'broken.json: line 3: ' athanor train --config broken.json "${new[@]}"
refuses 1 'nowhere.json: cannot open' athanor train --config nowhere.json "${new[@]}"
refuses 1 'text.txt' athanor train --data data --out text.txt/run "${again[@]}"
refuses 1 'text.txt' athanor train --data data --out text.txt "${again[@]}"

# ---- a message stays one line whatever is in it ----

refuses 2 'no such command' athanor $'two\nlines'
refuses 2 'is not known' athanor sample run -o grid.png --sampler $'two\nlines'
refuses 1 'no such run directory' athanor sample $'two\nlines\033[2J' "${grid[@]}"

done_testing
