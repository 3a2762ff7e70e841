# compare, eval and invert: their files, their tables, their mistakes; exact models from mixture.json.
. "$(dirname -- "$0")/lib.bash"

cd "$tmp" || exit 1
make_idx data 32 8 2
quiet=(--quiet --threads 1)
check "a model" athanor train --data data --out run --steps 4 --batch 8 --objective v_prediction "${quiet[@]}" "${tiny_net[@]}"
cat >mixture.json <<'JSON'
{"_class_name": "GaussianMixture", "shape": [1, 1, 2], "weights": [0.3, 0.5, 0.2],
 "means": [[-0.8, 0.5], [0.7, 0.9], [0.2, -1.1]], "stds": [0.25, 0.15, 0.35], "process": "vp"}
JSON

# ---- an exact model: orders ----

exits 0 athanor compare mixture.json -o orders --samplers euler,heun,dpmpp_3m:exact,rk45:rtol=1e-8 --steps 40,80,160 --count 32 "${quiet[@]}"
check "the table is printed" grep -q '^heun .*40 ' out
for file in plot.png grid.png; do check "orders/$file is a PNG" is_png orders/$file; done
same "the table's columns" "$(head -n 1 orders/table.csv)" "sampler,options,steps,nfe,seconds,ode,ode_max,rms,swd,order"
same "a row a run" "$(wc -l <orders/table.csv)" 13
# order SAMPLER STEPS: ten times the empirical order, rounded down
order() { grep "^$1,[^,]*,$2," orders/table.csv | cut -d, -f10 | sed -E 's/^([0-9]+)\.([0-9]).*/\1\2/'; }
check "Euler is of order 1" test "$(order euler 160)" -ge 9 -a "$(order euler 160)" -le 11
check "Heun is of order 2" test "$(order heun 160)" -ge 19 -a "$(order heun 160)" -le 22
check "dpmpp_3m:exact is of order 3" test "$(order dpmpp_3m 160)" -ge 29
same "an adaptive sampler has none" "$(grep '^rk45,' orders/table.csv | cut -d, -f10 | tr -d '\n')" ""
check "the report is whole" grep -q '</html>' orders/report.html
check "the report loads nothing" test "$(grep -ciE '(src|href)="?(https?:)?//' orders/report.html)" = 0
check "the report holds the plot" grep -q '<svg' orders/report.html

# ---- a trained model ----

common=(--samplers ddim:eta=0,dpmpp_2m:final=sigma_min,euler_ancestral --steps 2,3 --count 4)
exits 0 athanor compare run -o trained "${common[@]}" --data data --json "${quiet[@]}"
check "one JSON object" is_json_line out
same "a cell each" "$(grep -o '"sampler": "[a-z_0-9]*"' out | wc -l)" 6
same "the table's columns" "$(head -n 1 trained/table.csv)" "sampler,options,steps,nfe,seconds,rms,swd"
check "noise has no distance to the flow" grep -qE '^euler_ancestral,,2,2,[^,]*,,[0-9]' trained/table.csv
check "two threads draw the same" athanor compare run -o again "${common[@]}" --data data --quiet --threads 2
same "but for the seconds" "$(cut -d, -f1-4,6- trained/table.csv)" "$(cut -d, -f1-4,6- again/table.csv)"
check "the same picture" cmp trained/grid.png again/grid.png

exits 0 athanor compare run -o tuned --samplers ddim --steps 2 --data data --count 4 --tune-skip "${quiet[@]}"
check "what was found is kept" grep -q '"skip_tuning":' run/skip_tuning.json
check "and used" athanor sample run -o auto.png --skip-tuning auto --steps 2 --count 4 "${quiet[@]}"
fails_with 2 'nothing was found for the sampler heun' athanor sample run -o auto.png --sampler heun --skip-tuning auto --steps 2 "${quiet[@]}"

# ---- scores of files ----

check "images one by one" athanor sample run --images drawn --count 6 --steps 2 "${quiet[@]}"
exits 0 athanor eval drawn --data data --json
check "a score" grep -q '"swd": [0-9]' out
exits 0 athanor eval data --data data
check "a set is like itself" grep -q '^swd  *0 ' out
check "tensors" athanor sample run --trajectory t.safetensors --count 6 --steps 2 "${quiet[@]}"
exits 0 athanor eval t.safetensors --data data --json

# ---- there and back ----

exits 0 athanor invert run data -o noise.safetensors --reconstruction back.png --steps 20 --count 4 --iterations 8 --json "${quiet[@]}"
check "the round trip has an error" grep -q '"round_trip_rms": [0-9]' out
check "back.png is a PNG" is_png back.png
check "the noise draws the images" athanor sample run -o again.png --noise noise.safetensors --steps 20 --no-clip-sample "${quiet[@]}"
exits 0 athanor invert run data -o noise.safetensors --steps 20 --count 4 --iterations 0 "${quiet[@]}"

check "a model of classes" athanor train --data data --out classes --steps 4 --batch 8 --objective v_prediction --class-conditional "${quiet[@]}" "${tiny_net[@]}"
cp -r data swapped # its first image is of class 1, and not what comes in turn
{ head -c 8 data/train-labels-idx1-ubyte; tail -c +9 data/train-labels-idx1-ubyte | tr '\000\001' '\001\000'; } >swapped/train-labels-idx1-ubyte
exits 0 athanor invert classes swapped -o labelled.safetensors --steps 4 --count 2 "${quiet[@]}"
again=(athanor sample classes --noise labelled.safetensors --steps 4 --no-clip-sample "${quiet[@]}")
check "noise and classes draw the images" "${again[@]}" --trajectory own.safetensors
check "class 1 is drawn from both" "${again[@]}" --class 1 --trajectory one.safetensors
last_image() { tensor_bytes "$1.safetensors" x | tail -c 512 | tail -c +$((256 * $2 + 1)) | head -c 256 | cksum; }
same "image 0 was drawn as class 1" "$(last_image own 0)" "$(last_image one 0)"
check "image 1 was not" test "$(last_image own 1)" != "$(last_image one 1)"

# ---- on the way ----

check "a film and its frames" athanor sample run --gif way.gif --trajectory-grid way.png --steps 3 --count 4 "${quiet[@]}"
same "way.gif is a GIF" "$(head -c 6 way.gif)" GIF89a
check "way.png is a PNG" is_png way.png
check "from one noise to another" athanor sample run -o between.png --interpolate 1:2 --grid 5x2 --steps 2 --sampler ddpm "${quiet[@]}"

# ---- image k of a seed, by a sampler that draws, whatever the count, the threads ----

check "five images by one thread" athanor sample run --images five --count 5 --steps 4 --sampler dpmpp_2m_sde "${quiet[@]}"
check "three images by two threads" athanor sample run --images three --count 3 --steps 4 --sampler dpmpp_2m_sde --quiet --threads 2
for k in 0 1 2; do check "image $k is the same" cmp five/00000$k.png three/00000$k.png; done

# ---- where the last step ends is the grid's, beside options of the sampler's own ----

exits 0 athanor sample run --trajectory f.safetensors --count 1 --steps 3 --sampler dpmpp_2m:lower_order_final=false,final=sigma_min "${quiet[@]}"
check "the last level is not clean" test "$(tensor_bytes f.safetensors sigmas | od -An -tf8 | tr -s ' ' '\n' | tail -n 1 | grep -c '^0$')" = 0

# ---- budgets ----

exits 0 athanor sample run -o b.png --sampler heun --nfe 10 --count 1 --json "${quiet[@]}"
same "Heun spends 9 of 10 evaluations" "$(json_value out steps) $(json_value out nfe)" "5 9"

# ---- mistakes ----

fails_with 2 'adaptive|tolerance' athanor sample run -o b.png --sampler rk45 --nfe 10 "${quiet[@]}"
fails_with 2 'heum.*heun' athanor compare run -o x --samplers ddim,heum "${quiet[@]}"
fails_with 2 '--data' athanor compare run -o x --tune-skip "${quiet[@]}"
fails_with 2 '--tune-skip: this model has no skip' athanor compare mixture.json -o x --tune-skip --data data "${quiet[@]}"
fails_with 2 '-o: say' athanor compare run "${quiet[@]}"
fails_with 2 'RUN' athanor compare -o x "${quiet[@]}"
fails_with 1 'nowhere' athanor compare nowhere -o x "${quiet[@]}"
fails_with 2 '--order: the sampler ddim has no such option' athanor sample run -o b.png --order 2 "${quiet[@]}"
fails_with 2 'sigma_max' athanor sample run -o b.png --spacing karras:sigma_min=3,sigma_max=2 "${quiet[@]}"
fails_with 2 'guidance-interval' athanor sample run -o b.png --guidance-interval 3 "${quiet[@]}"
echo '{"sigmas": [1, 2, 0]}' >rising.json
fails_with 1 'rising.json: sigma 1, 2, is above' athanor sample run -o b.png --levels rising.json "${quiet[@]}"
echo '{"_class_name": "GaussianMixture", "shape": [1,1,2], "weights": [1], "means": [[0]], "stds": [1]}' >short.json
fails_with 1 'short.json.*means' athanor sample short.json -o b.png "${quiet[@]}"
fails_with 2 '--data' athanor eval drawn
fails_with 1 'missing' athanor eval missing --data data
fails_with 2 'RUN IMAGES' athanor invert run -o x
done_testing
