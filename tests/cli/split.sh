# The test images of MNIST and CIFAR: the file itself as the data, or --split test of the folder.
. "$(dirname -- "$0")/lib.bash"

cd "$tmp" || exit 1
make_idx mnist 12 8 3
make_idx tests 6 8 3
for part in images-idx3 labels-idx1; do mv tests/train-$part-ubyte mnist/t10k-$part-ubyte; done
mkdir cifar
head -c $((3 * 3073)) /dev/zero >cifar/data_batch_1.bin
head -c $((2 * 3073)) /dev/zero >cifar/test_batch.bin

images() { athanor info --json "$@" >info.json && echo "$(json_value info.json images) $(json_value info.json classes)"; }
same "MNIST's folder" "$(images mnist)" "12 3"
same "MNIST's folder, the training split" "$(images mnist --split train)" "12 3"
same "MNIST's folder, the test split" "$(images mnist --split test)" "6 3"
same "MNIST's test images" "$(images mnist/t10k-images-idx3-ubyte)" "6 3"
same "CIFAR's folder" "$(images cifar)" "3 10"
same "CIFAR's folder, the test split" "$(images cifar --split test)" "2 10"
same "CIFAR's test images" "$(images cifar/test_batch.bin)" "2 10"

quick=("${tiny_net[@]}" --threads 1 --quiet --batch 4 --sample-count 0)
check "a model" athanor train --data mnist --out run --steps 1 "${quick[@]}"
check "one of the test images" athanor train --data mnist/t10k-images-idx3-ubyte --out tested --epochs 1 "${quick[@]}"
same "an epoch of 6 images in batches of 4 are 2 steps" "$(tail -n 1 tested/log.csv | cut -d, -f1)" 2
scores() { athanor eval "$@" --json; }
same "eval: the file is the split" "$(scores mnist --data mnist --split test)" "$(scores mnist --data mnist/t10k-images-idx3-ubyte)"
check "eval: the split is that of --data alone" grep -q '"images": 12, "data": 6' <(scores mnist --data mnist --split test)
check "eval: and not the training images" test "$(scores mnist --data mnist --split test)" != "$(scores mnist --data mnist)"
compares=(compare run --samplers ddim --steps 2 --count 8 --quiet --threads 1 --no-cache)
for data in "mnist --split test" mnist/t10k-images-idx3-ubyte mnist; do
    check "compare --data $data" athanor "${compares[@]}" --data $data -o "compared-${data//[ \/]/-}"
done
score() { sed -E 's/("[^"]*"|[^,]*),("[^"]*"|[^,]*),([^,]*),([^,]*),[^,]*,/\3,/' "compared-$1/table.csv"; } # not the seconds
same "compare: the file is the split" "$(score mnist---split-test)" "$(score mnist-t10k-images-idx3-ubyte)"
check "compare: and not the training images" test "$(score mnist---split-test)" != "$(score mnist)"
inverts=(invert run --count 4 --steps 2 --quiet --threads 1)
check "invert --split" athanor "${inverts[@]}" mnist --split test -o split.safetensors
check "invert of the file" athanor "${inverts[@]}" mnist/t10k-images-idx3-ubyte -o file.safetensors
check "the same noise" cmp split.safetensors file.safetensors

fails_with 2 'split: "tests" is not known.*train.*test' athanor info mnist --split tests
check "pictures" athanor sample run --count 2 --steps 1 --images pictures --quiet --threads 1
fails_with 2 "pictures: a test split was asked for, expected a folder with MNIST's" athanor info pictures --split test
fails_with 2 'mnist/train-images-idx3-ubyte: a test split was asked for' athanor info mnist/train-images-idx3-ubyte --split test
rm mnist/t10k-*
fails_with 1 'mnist: holds train-images\* but no t10k-images\*, expected for the test split' athanor info mnist --split test

done_testing
