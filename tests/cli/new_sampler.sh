# The example of samplers/README.md, dropped into a copy of the tree as one new file, is built, listed and
# drawn with.
. "$(dirname -- "$0")/lib.bash"

cd "$tmp" || exit 1
mkdir tree
cp -r "$source_dir"/{CMakeLists.txt,src,samplers,nets,scripts,data} tree
sed -n '/^```c$/,/^```$/p' "$source_dir/samplers/README.md" | sed '1d;$d' >tree/samplers/ralston.c
check "samplers/README.md holds a sampler" grep -q '^const ath_sampler ath_sampler_ralston = {' tree/samplers/ralston.c
check "the tree with it is configured" cmake -S tree -B built -DCMAKE_BUILD_TYPE=Debug -DATH_BUILD_TESTS=OFF -DATH_WERROR=ON
check "the tree with it builds" cmake --build built --target athanor-bin -j 2

make_idx data 16 8 2
check "a model to draw from" athanor train --data data --out run --steps 2 --batch 4 --threads 1 --quiet "${tiny_net[@]}"
exits 0 built/athanor list samplers
check "the new sampler is listed" grep -q '^ralston .*order 2' out
exits 0 built/athanor list samplers ralston
check "and its option" grep -q 'end .*default 0.666' out
exits 0 built/athanor sample run -o grid.png --sampler ralston:end=0.75 --steps 3 --spacing leading --count 4 --json --quiet
check "it draws" is_png grid.png
same "in two evaluations a step, but for the last" "$(json_value out nfe)" 5
done_testing
