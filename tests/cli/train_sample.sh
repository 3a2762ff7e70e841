# Training a small network and drawing from it: the files of a run, the same bytes for the
# same seed whatever the number of threads and images, and what each command prints.
. "$(dirname -- "$0")/lib.bash"

cd "$tmp" || exit 1
weights=unet/diffusion_pytorch_model.safetensors
make_idx data 64 16 4
make_idx small 12 8 3
quiet=(--quiet --threads 1)

# ---- a run directory ----

few=(--steps 6 --batch 16 --sample-every 3 --sample-count 4 --sample-steps 2)
exits 0 athanor train --preset tiny --data data --out run --seed 7 "${few[@]}" "${quiet[@]}"
same "train prints the run directory" "$(cat out)" run
same "train --quiet says nothing" "$(cat err)" ""
same "the files of a run" "$(cd run && find . -type f | sort | tr '\n' ' ')" \
     "./log.csv ./loss.png ./model_index.json ./samples/step-00000003.png ./samples/step-00000006.png ./scheduler/scheduler_config.json ./train.json ./training_state.safetensors ./unet/config.json ./unet/diffusion_pytorch_model.safetensors "
for file in loss.png samples/step-00000003.png; do check "run/$file is a PNG" is_png run/$file; done
same "a preview is a grid of 2x2 cells of 64 pixels and borders of 2" "$(png_size run/samples/step-00000003.png)" 134x134
same "the log's header" "$(head -n 1 run/log.csv)" "step,images,loss,loss_ema,grad_norm,lr,images_per_second,seconds"
same "the log has each step once" "$(tail -n +2 run/log.csv | cut -d, -f1,2 | tr '\n' ' ')" "1,16 2,32 3,48 4,64 5,80 6,96 "
check "the log's numbers are numbers" test "$(tail -n +2 run/log.csv | grep -cE '^[0-9]+,[0-9]+(,[0-9.e+-]+){6}$')" = 6
check "model_index.json names diffusers' classes" grep -q '"DDPMScheduler"' run/model_index.json
check "model_index.json names diffusers' network" grep -q '"UNet2DModel"' run/model_index.json
same "the network's configuration" "$(json_value run/unet/config.json _class_name) $(json_value run/unet/config.json sample_size)" "UNet2DModel 16"
same "the schedule's configuration" "$(json_value run/scheduler/scheduler_config.json prediction_type) $(json_value run/scheduler/scheduler_config.json num_train_timesteps)" "epsilon 1000"
for key in data image-size channels flip class-conditional label-dropout net base-channels channel-mults res-blocks attention \
           norm-groups dropout time-embedding objective schedule timesteps loss-weight batch steps epochs minutes lr warmup \
           lr-schedule optimizer weight-decay grad-clip ema preset seed threads save-every sample-every sample-sampler sample-steps; do
    check "train.json has $key" grep -q "^  \"$key\": " run/train.json
done
same "train.json has the preset's settings" "$(json_value run/train.json base-channels) $(json_value run/train.json lr)" "16 0.001"

# ---- the same bytes ----

check "train --config takes train.json back" athanor train --config run/train.json --out again "${quiet[@]}"
check "--config run/train.json: the same weights" cmp run/$weights again/$weights
check "--config run/train.json: the same state" same_state run/training_state.safetensors again/training_state.safetensors
check "--config run/train.json: the same preview" cmp run/samples/step-00000006.png again/samples/step-00000006.png
same "--config run/train.json: the same train.json" "$(sed 's/"again"/"run"/' again/train.json)" "$(cat run/train.json)"
for threads in 2 3; do
    check "train --threads $threads" athanor train --config run/train.json --out threads$threads --quiet --threads $threads
    check "--threads $threads: the same weights" cmp run/$weights threads$threads/$weights
    check "--threads $threads: the same state" same_state run/training_state.safetensors threads$threads/training_state.safetensors
    check "--threads $threads: the same preview" cmp run/samples/step-00000006.png threads$threads/samples/step-00000006.png
done
check "train with another seed" athanor train --config run/train.json --out seed --seed 8 "${quiet[@]}"
check "another seed: other weights" test "$(cksum <run/$weights)" != "$(cksum <seed/$weights)"
echo '{"preset": "tiny", "batch": 16, "steps": 6, "seed": 7, "sample-count": 0}' >mine.json
check "a --config that names a preset" athanor train --config mine.json --data data --out mine "${quiet[@]}"
check "a --config that names a preset: its settings" cmp run/$weights mine/$weights
check "--config, then the command line" athanor train --config mine.json --data data --out mine2 --steps 1 --channel-mults 1,1 "${quiet[@]}"
same "the command line wins over --config" "$(json_value mine2/train.json steps) $(athanor info mine2 --json | grep -o '"block_out_channels": \[[0-9, ]*\]')" '1 "block_out_channels": [16, 16]'
check "train --epochs" athanor train --config mine.json --data data --out epochs --epochs 0.5 "${quiet[@]}"
same "--epochs 0.5 of 64 images in batches of 16 are 2 steps" "$(tail -n 1 epochs/log.csv | cut -d, -f1)" 2
check "train --minutes" athanor train --config mine.json --data data --out minutes --minutes 0.001 "${quiet[@]}"
check "--minutes 0.001 ends" test -s minutes/$weights

# ---- sample ----

exits 0 athanor sample run -o grid.png --steps 3 --grid 3x2 --threads 1
same "sample prints the grid's path" "$(cat out)" grid.png
same "the grid: 3 columns and 2 rows" "$(png_size grid.png)" 200x134
check "the grid's metadata has the command" grep -aq 'tEXtathanor.athanor sample run -o grid.png --steps 3 --grid 3x2 --threads 1' grid.png
mkdir twice other
check "sample once more" eval '(cd twice && ln -s ../run && athanor sample run -o grid.png --steps 3 --grid 3x2 --threads 1)'
check "the same command: the same bytes" cmp grid.png twice/grid.png
check "options before the argument, with =" athanor sample --out=g2.png --steps=3 --grid=2x3 --quiet run
same "the grid: 2 columns and 3 rows" "$(png_size g2.png)" 134x200
exits 0 athanor sample run -o one.png --images pictures --trajectory way.safetensors --steps 2 --count 2 --json "${quiet[@]}"
check "sample --json prints one JSON line" is_json_line out
same "sample --json --quiet says nothing else" "$(cat err)" ""
for key in run sampler steps nfe count seed grid images trajectory; do check "sample --json has $key" grep -q "\"$key\": " out; done
same "--images writes one PNG an image" "$(ls pictures | tr '\n' ' ')" "000000.png 000001.png "
same "at its own size" "$(png_size pictures/000000.png)" 16x16

exits 0 athanor train --data small --out class --class-conditional --label-dropout 0.3 --steps 40 --batch 8 --lr 1e-2 --warmup 0 --ema 0.5 --sample-count 0 "${tiny_net[@]}" "${quiet[@]}"
# draw FOLDER OPTIONS...: pictures of the small model, in a folder
draw() { local folder=$1; shift; athanor sample class --images "$folder" --steps 4 --quiet --threads 1 "$@"; }
same_pictures() { local file; for file in "$1"/*; do cmp "$file" "$2/${file##*/}" || return 1; done; }
other_pictures() { ! same_pictures "$1" "$2"; }
check "sample --count 9" draw nine --count 9
check "sample --count 5" draw five --count 5
same "five pictures" "$(ls five | wc -l)" 5
check "--count 5 are the first five of --count 9" same_pictures five nine
check "sample --threads 2" draw two --count 5 --threads 2
check "--threads 2: the same pictures" same_pictures two nine
check "sample --seed 1" draw seed1 --count 5 --seed 1
check "--seed 1: other pictures" other_pictures seed1 nine
check "ddpm --count 9" draw ddpm9 --count 9 --sampler ddpm
check "ddpm --count 5" draw ddpm5 --count 5 --sampler ddpm --threads 2
check "ddpm: --count 5 are the first five of --count 9" same_pictures ddpm5 ddpm9
check "ddpm: other pictures than ddim" other_pictures ddpm5 five
check "sampler options" draw eta --count 5 --sampler ddim:eta=0.5
check "eta 0.5: other pictures" other_pictures eta five
check "--no-clip-sample" draw noclip --count 5 --no-clip-sample
check "--skip-tuning 1:1" draw tuned1 --count 5 --skip-tuning 1:1
check "--skip-tuning 1:1 changes nothing" same_pictures tuned1 five
check "--skip-tuning 0.5" draw tuned2 --count 5 --skip-tuning 0.5
check "--skip-tuning 0.5 changes the pictures" other_pictures tuned2 five
echo '{"timesteps": [40, 30, 20, 10, 0]}' >levels.json
check "--levels" draw levels --count 5 --levels levels.json
check "--steps 5" draw steps5 --count 5 --steps 5
check "--levels with the timesteps of --steps 5: the same pictures" same_pictures levels steps5
check "--spacing trailing" draw trailing --count 5 --steps 5 --spacing trailing
check "another spacing: other pictures" other_pictures trailing steps5

# Without --class the classes take turns: image 1 is of class 1.
check "--class 1" draw class1 --count 3 --class 1
check "--class 1 draws that class" cmp class1/000001.png nine/000001.png
check "--class 1 draws no other" other_pictures class1 nine
check "--guidance 1" draw guided1 --count 5 --guidance 1
check "--guidance 1 changes nothing" same_pictures guided1 five
check "--guidance 3" draw guided3 --count 5 --guidance 3
check "--guidance 3 changes the pictures" other_pictures guided3 five
check "--guidance 0 --class 0" draw guided0 --count 3 --guidance 0 --class 0
check "--guidance 0 --class 2" draw guided2 --count 3 --guidance 0 --class 2
check "--guidance 0 does not see the class" same_pictures guided0 guided2

# More images than are drawn at a time, compared by their last states.
check "--trajectory of 258" athanor sample class --trajectory many.safetensors --count 258 --steps 1 "${quiet[@]}"
check "--trajectory of 3" athanor sample class --trajectory three.safetensors --count 3 --steps 1 "${quiet[@]}"
same "a trajectory's shape" "$(entry many.safetensors x | cut -d' ' -f1,2)" "F32 [2,258,1,8,8]"
same "a trajectory's timesteps" "$(entry many.safetensors timesteps | cut -d' ' -f1,2)" "F64 [1]"
last() { tensor_bytes "$1" x | tail -c +$(($2 * 256 + 1)) | head -c 768; }
check "--count 258 begins as --count 3" cmp <(last many.safetensors 258) <(last three.safetensors 3)
check "a trajectory starts at the noise" cmp <(last many.safetensors 0) <(last three.safetensors 0)
last three.safetensors 0 >start.bin
make_safetensors start.safetensors x_start F32 '[3,1,8,8]' start.bin
make_safetensors init.safetensors x_init F32 '[3,1,8,8]' start.bin
make_safetensors short.safetensors x_init F32 '[3,1,8,8]' start.bin noise F32 '[1,3,1,8,8]' start.bin
for file in start init; do
    check "--noise $file" draw $file --noise $file.safetensors
    check "--noise $file: the same noise, the same pictures up to rounding to F32" test "$(ls $file | wc -l)" = 3
done
check "x_start and x_init are the same at this level" same_pictures start init
fails_with 2 'noise: the sampler draws more than the 1 tensors given' athanor sample class --noise short.safetensors --sampler ddpm --steps 4 -o x.png --quiet
fails_with 1 'x_init.*is not F32 or F64 of shape \[4,1,8,8\]' athanor sample class --noise init.safetensors --count 4 --steps 4 -o x.png --quiet

# ---- forward ----

head -c 16 /dev/zero >zeros.bin
head -c 12 /dev/zero >t.bin
make_safetensors in.safetensors x F32 '[3,1,8,8]' start.bin timesteps F32 '[3]' t.bin class_labels F32 '[3]' t.bin cotangent F32 '[3,1,8,8]' start.bin
exits 0 athanor forward class --input in.safetensors --output y1.safetensors --gradients g1.safetensors --threads 1
same "forward says nothing" "$(cat out err)" ""
check "forward --threads 2" athanor forward class --input in.safetensors --output y2.safetensors --gradients g2.safetensors --threads 2
check "forward --threads 2: the same result" cmp y1.safetensors y2.safetensors
check "forward --threads 2: the same gradients" cmp g1.safetensors g2.safetensors
same "forward's result" "$(entry y1.safetensors y | cut -d' ' -f1,2)" "F32 [3,1,8,8]"
same "the gradient of x" "$(entry g1.safetensors x | cut -d' ' -f1,2)" "F32 [3,1,8,8]"
same "the gradient of a weight has the weight's shape" "$(entry g1.safetensors conv_in.weight | cut -d' ' -f1,2)" \
     "$(entry class/$weights conv_in.weight | cut -d' ' -f1,2)"
make_safetensors nolabel.safetensors x F32 '[3,1,8,8]' start.bin timesteps F32 '[3]' t.bin
fails_with 1 'nolabel.safetensors: tensor "class_labels" is missing' athanor forward class --input nolabel.safetensors --output y.safetensors
make_safetensors shape.safetensors x F32 '[3,8,8,1]' start.bin timesteps F32 '[3]' t.bin
fails_with 1 'shape.safetensors: tensor "x" is not of shape \[3,1,16,16\]' athanor forward run --input shape.safetensors --output y.safetensors

# near A B FACTOR: F32 numbers agree with FACTOR times F64 numbers to 1e-4
near() {
    paste -d' ' <(od -An -v -w4 -tf4 "$1") <(od -An -v -w8 -tf8 "$2") |
        awk -v k="$3" '{ d = $1 - k * $2; m = 1e-4 * (1 + k * ($2 < 0 ? -$2 : $2)) } NF != 2 || !(d <= m && d >= -m) { bad = 1 } END { exit bad || NR == 0 }'
}
golden=$source_dir/../shared/golden/unet # diffusers' own results, where they are at hand
for folder in "$golden"/*/; do
    if [ ! -f "$folder/io.safetensors" ]; then continue; fi
    name=${folder%/} name=${name##*/} tensors=()
    for pair in sample:x timesteps:timesteps class_labels:class_labels cotangent:cotangent; do
        read -r dtype shape _ < <(entry "$folder/io.safetensors" "${pair%:*}")
        if [ -z "$shape" ]; then continue; fi
        tensor_bytes "$folder/io.safetensors" "${pair%:*}" >"$name.${pair#*:}"
        tensors+=("${pair#*:}" "$dtype" "$shape" "$name.${pair#*:}")
    done
    make_safetensors "$name.safetensors" "${tensors[@]}"
    check "forward on $name" athanor forward "$folder" --input "$name.safetensors" --output "$name.y" --gradients "$name.g" --threads 1
    tensor_bytes "$name.y" y >"$name.y.bin" && tensor_bytes "$folder/io.safetensors" output_f64 >"$name.golden"
    check "$name: diffusers' result to 1e-4" near "$name.y.bin" "$name.golden" 1
    tensor_bytes "$name.g" x >"$name.x.bin" && tensor_bytes "$folder/io.safetensors" grad_sample_f64 >"$name.golden"
    # its loss is the mean of y * cotangent, ours the sum
    check "$name: torch's gradient to 1e-4" near "$name.x.bin" "$name.golden" $(($(stat -c %s "$name.golden") / 8))
done

# ---- info, list, bench ----

for what in run data class/$weights run/training_state.safetensors; do
    exits 0 athanor info $what --json
    check "info $what --json prints one JSON line" is_json_line out
    same "info $what --json says nothing else" "$(cat err)" ""
    exits 0 athanor info $what
    check "info $what prints more than one line" test "$(wc -l <out)" -gt 3
done
athanor info run --json >out
same "info of a run" "$(json_value out kind) $(json_value out net) $(json_value out step) $(json_value out classes)" "model unet 6 0"
athanor info class --json >out
same "info of a class-conditional run counts the classes without the null class" "$(json_value out classes)" 3
athanor info data --json >out
same "info of a data set" "$(json_value out kind) $(json_value out images) $(json_value out classes)" "dataset 64 4"
check "info -o writes a grid" athanor info data -o first.png
check "info -o writes a PNG" is_png first.png
for kind in samplers nets schedules objectives optimizers presets; do
    exits 0 athanor list $kind
    check "list $kind has lines" test -s out
    same "list $kind says nothing else" "$(cat err)" ""
done
check "list samplers NAME shows its options" grep -q eta <(athanor list samplers ddim)
exits 0 athanor --version
check "--version" grep -qE '^athanor [0-9]+\.[0-9]+\.[0-9]+$' out
exits 0 athanor bench --preset tiny --batch 8 --seconds 0.2 --threads 1 --json
check "bench --json prints one JSON line" is_json_line out
for key in train_images_per_second sample_images_per_second peak_rss_mib parameters forward_gflop_per_image gflop_per_second; do
    check "bench --json has $key" grep -qE "\"$key\": [0-9]*\.?[0-9]*[1-9]" out
done
exits 0 athanor bench --preset tiny --batch 4 --seconds 0 --threads 1 --mode sample
check "bench --mode sample does not train" eval '! grep -q train_images_per_second out'

# ---- pictures in class folders, and the data that ships with athanor ----

mkdir -p album/cats album/dogs
cp nine/00000[0-3].png album/cats && cp nine/00000[4-8].png album/dogs
check "training on class folders" athanor train --data album --out album-run --class-conditional --steps 1 --batch 4 --sample-count 0 "${tiny_net[@]}" "${quiet[@]}"
same "class folders are the classes" "$(athanor info album --json | grep -o '"class_names": [^]]*]')" '"class_names": ["cats", "dogs"]'
head -c 50 nine/000000.png >album/dogs/broken.png
fails_with 1 'dogs/broken.png' athanor train --data album --out broken --steps 1 --batch 4 --sample-count 0 "${tiny_net[@]}" "${quiet[@]}"
exits 0 athanor train --data album --out skipped --steps 1 --batch 4 --sample-count 0 --skip-broken "${tiny_net[@]}" --threads 1
check "--skip-broken counts what it leaves out" grep -q '1 damaged files left out' err
check "--skip-broken trains on the others" grep -q '9 images 8x8x1' err
if [ -d "$source_dir/data/glyphs" ]; then
    for name in runs/glyphs runs/glyphs-2; do
        exits 0 athanor train --steps 1 --batch 2 --sample-count 0 --preset tiny "${quiet[@]}"
        same "without --data and --out" "$(cat out)" $name
    done
fi

# ---- a signal during sample: no file ----

"$program" sample class -o never.png --count 20000 --steps 50 --sampler ddpm "${quiet[@]}" >out 2>err &
pid=$!
sleep 0.5
kill -TERM $pid
code=0
wait $pid || code=$?
same "sample, interrupted: exit status" $code 143
same "sample, interrupted: no file" "$(ls | grep -c never)" 0

done_testing
