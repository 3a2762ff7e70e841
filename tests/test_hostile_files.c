/* Hostile files through the whole program, one class after the other: the exit status is 1, the message names the file and
 * the fault, and memory stays under 200 MiB, whatever a file promises or unpacks to. What the readers do with every cut and
 * every bit flipped is in their own tests, hostile values of JSON in test_hostile_json.c and cli/hostile.sh. */
#define _DEFAULT_SOURCE /* wait4 */
#define _XOPEN_SOURCE   700
#include "check.h"
#include "dataset_files.h"
#include "program.h"
#include <jpeglib.h>
#include <zip.h>
#include "io/png.h"

/* ---- making files ---- */

/* `head`, and then as many zeros: a bomb when it is zipped, of one member of the file after the other. */
static void put_zeros(const char *name, bool zipped, const void *head, size_t size, size_t zeros) {
    enum { PIECE = 1 << 20 };
    const char *path = in_folder(name);
    remove(path);
    gzFile start = gzopen(path, zipped ? "wb" : "wbT");
    assert_non_null(start);
    if (size) assert_int_equal(gzwrite(start, head, (unsigned)size), (int)size);
    static const uint8_t zero[PIECE];
    if (zeros % PIECE) assert_int_equal(gzwrite(start, zero, (unsigned)(zeros % PIECE)), (int)(zeros % PIECE));
    assert_int_equal(gzclose(start), Z_OK);
    if (zeros < PIECE) return;
    assert_true(zipped);
    put_gz("piece", zero, PIECE);
    uint8_t *piece;
    size_t len;
    CHECK_OK(ath_file_read(in_folder("piece"), PIECE, &piece, &len, &err));
    FILE *file = fopen(in_folder(name), "ab");
    assert_non_null(file);
    for (size_t i = 0; i < zeros / PIECE; i++) assert_int_equal(fwrite(piece, 1, len, file), len);
    assert_int_equal(fclose(file), 0);
    free(piece);
}

static void put_text(const char *name, const char *text) { put_file(name, text, strlen(text)); }

/* `text` with `piece` `times` in place of its '@'. */
static void put_many(const char *name, const char *text, const char *piece, size_t times) {
    const size_t at = strcspn(text, "@"), len = strlen(piece), rest = strlen(text) - at - 1;
    char *all = malloc(at + len * times + rest);
    assert_non_null(all);
    memcpy(all, text, at);
    for (size_t i = 0; i < times; i++) memcpy(all + at + i * len, piece, len);
    memcpy(all + at + len * times, text + at + 1, rest);
    put_file(name, all, at + len * times + rest);
    free(all);
}

/* An IDX header; dims end with 0. */
static bytes idx_header(uint32_t magic, uint32_t n, uint32_t h, uint32_t w) {
    bytes b = {.size = 0};
    put_u32(&b, magic);
    put_u32(&b, n);
    if (h) put_u32(&b, h);
    if (w) put_u32(&b, w);
    return b;
}
static void put_idx(const char *name, uint32_t n, uint32_t h, uint32_t w, size_t items) {
    const bytes b = idx_header(0x803, n, h, w);
    put_zeros(name, false, b.data, b.size, items);
}

enum { MANY = 250 << 20 }; /* more bytes than may be had */

static void idx_files(void **state) {
    (void)state;
    put_idx("cut", 10, 28, 28, 100);
    must_refuse("info cut", 1, "cut", "ends after 116 bytes, its IDX header promises 7856");
    put_idx("long", 10, 28, 28, 7841);
    must_refuse("info long", 1, "long", "holds more than the 7856 bytes");
    put_text("magic", "\x01\x02\x03\x04 and more");
    must_refuse("info magic", 1, "magic", "starts with 01 02");
    put_idx("many", 0xffffffff, 28, 28, 100);
    must_refuse("info many", 1, "many", "promises 4294967295 images");
    put_idx("large", 60000, 65535, 65535, 100);
    must_refuse("info large", 1, "large", "65535 x 65535 pixels, expected 1 to 4096");
    put_idx("lies", 2000000, 64, 64, 100);
    must_refuse("info lies", 1, "lies", "ends after 116 bytes");
    sub_folder("few");
    put_idx("few/train-images-idx3-ubyte", 3, 8, 8, 192);
    const bytes labels = idx_header(0x801, 2, 0, 0);
    put_zeros("few/train-labels-idx1-ubyte", false, labels.data, labels.size, 2);
    must_refuse("info few", 1, "train-labels-idx1-ubyte", "holds 2 labels, expected 3");
    bytes head = idx_header(0x803, MANY / 784, 28, 28);
    put_zeros("bomb.gz", true, head.data, head.size, MANY);
    must_refuse("info bomb.gz", 1, "bomb.gz", "unpacks to more than 256 times");
    head = idx_header(0x803, 10, 28, 28);
    put_zeros("more.gz", true, head.data, head.size, MANY);
    must_refuse("info more.gz", 1, "more.gz", "holds more than the 7856 bytes");
    assert_int_equal(truncate(in_folder("more.gz"), 1000), 0);
    must_refuse("info more.gz", 1, "more.gz", "holds more than the 7856 bytes");
    assert_int_equal(truncate(in_folder("more.gz"), 25), 0);
    must_refuse("info more.gz", 1, "more.gz", "damaged or truncated gzip");
}

static void cifar_files(void **state) {
    (void)state;
    uint8_t record[3073] = {10};
    put_file("label.bin", record, sizeof record);
    must_refuse("info label.bin", 1, "label.bin", "record 0 has label 10, expected 0 to 9");
    put_zeros("cut.bin", false, NULL, 0, 2 * 3073 - 1);
    must_refuse("info cut.bin", 1, "cut.bin", "has 6145 bytes, expected a whole number of records");
    sub_folder("set");
    put_zeros("set/data_batch_1.bin", false, NULL, 0, 3000);
    must_refuse("info set", 1, "data_batch_1.bin", "ends within a record");
    put_zeros("bomb.bin.gz", true, NULL, 0, MANY / 3073 * 3073);
    must_refuse("info bomb.bin.gz", 1, "bomb.bin.gz", "unpacks to more than 256 times");
    put_zeros("sparse.bin", false, NULL, 0, 3073);
    assert_int_equal(truncate(in_folder("sparse.bin"), (off_t)3 << 30), 0);
    must_refuse("info sparse.bin", 1, "sparse.bin", "holds more than the 1073741824 bytes");
}

/* ---- pictures ---- */

static void put_chunk(FILE *file, const char *type, const void *body, size_t size) {
    bytes b = {.size = 0};
    put_u32(&b, (uint32_t)size);
    memcpy(b.data + 4, type, 4);
    fwrite(b.data, 1, 8, file);
    fwrite(body, 1, size, file);
    const uLong sum = crc32(crc32(0, (const Bytef *)type, 4), body, (uInt)size);
    b.size = 0;
    put_u32(&b, (uint32_t)sum);
    fwrite(b.data, 1, 4, file);
}

/* A PNG of w x h pixels of one bit, a palette's, that are all 0; the first `packed` bytes of them at most. */
static void put_blank_png(const char *name, uint32_t w, uint32_t h, size_t packed) {
    bytes head = {.size = 0};
    put_u32(&head, w);
    put_u32(&head, h);
    memcpy(head.data + 8, "\1\3\0\0", 5); /* one bit, palette, not interlaced */
    const size_t raw = packed < 1000 ? 1 << 16 : ((size_t)w / 8 + 2) * h;
    uLongf size = compressBound(raw);
    uint8_t *zeros = calloc(raw, 1), *data = malloc(size);
    assert_non_null(zeros);
    assert_non_null(data);
    assert_int_equal(compress2(data, &size, zeros, raw, 6), Z_OK);
    FILE *file = fopen(in_folder(name), "wb");
    assert_non_null(file);
    fwrite("\x89PNG\r\n\x1a\n", 1, 8, file);
    put_chunk(file, "IHDR", head.data, 13);
    put_chunk(file, "PLTE", "\1\2\3\4\5\6", 6);
    put_chunk(file, "IDAT", data, size < packed ? size : packed);
    put_chunk(file, "IEND", "", 0);
    assert_int_equal(fclose(file), 0);
    free(zeros);
    free(data);
}

static void png_files(void **state) {
    (void)state;
    uint8_t pixel[12 * 12] = {0}, *data;
    size_t size;
    for (size_t i = 0; i < sizeof pixel; i++) pixel[i] = noise();
    sub_folder("d");
    CHECK_OK(ath_png_save(in_folder("d/a.png"), pixel, 12, 12, 1, NULL, 0, &err));
    must_do("info d");
    CHECK_OK(ath_file_read(in_folder("d/a.png"), 4096, &data, &size, &err));
    put_file("d/b.png", data, size - 40);
    must_refuse("info d", 1, "d/b.png", "damaged PNG");
    data[size - 13] ^= 1; /* the last byte before IEND */
    put_file("d/b.png", data, size);
    must_refuse("info d", 1, "d/b.png", "IDAT: CRC error");
    free(data);
    put_blank_png("d/b.png", 0x7fffffff, 0x7fffffff, 100);
    must_refuse("info d", 1, "d/b.png", "2147483647 x 2147483647 pixels, expected at most");
    put_blank_png("d/b.png", 20000, 20000, 100);
    must_refuse("info d --image-size 12", 1, "d/b.png", "20000 x 20000 pixels, expected at most 134217728 in all");
    put_blank_png("d/b.png", 11585, 11585, 1 << 30);
    must_refuse("info d --image-size 12", 1, "d/b.png", "would unpack to 402636675 bytes");
    must_refuse("info d", 1, "d/b.png", "expected at most 4096 on a side: see --image-size");
    put_blank_png("d/b.png", 11585, 11585, 100);
    must_refuse("info d --image-size 12", 1, "d/b.png", "would unpack to 402636675 bytes");
    put_blank_png("d/b.png", 12, 12, 3);
    must_refuse("info d", 1, "d/b.png", "damaged PNG");
    must_do("info d --skip-broken");
    put_text("d/b.png", "\x89PNG\r\n\x1a\n"); /* and a gigabyte that is not there */
    assert_int_equal(truncate(in_folder("d/b.png"), (off_t)1 << 30), 0);
    must_refuse("info d", 1, "d/b.png", "damaged PNG");
}

/* A JPEG whose header says h x w, of a picture of 16 x 16. */
static void put_jpeg(const char *name, bool progressive, unsigned h, unsigned w, size_t cut) {
    struct jpeg_compress_struct jpeg;
    struct jpeg_error_mgr errors;
    unsigned char *data = NULL;
    unsigned long size = 0;
    uint8_t row[16 * 3];
    JSAMPROW rows[1] = {row};
    jpeg.err = jpeg_std_error(&errors);
    jpeg_create_compress(&jpeg);
    jpeg_mem_dest(&jpeg, &data, &size);
    jpeg.image_width = jpeg.image_height = 16;
    jpeg.input_components = 3;
    jpeg.in_color_space = JCS_RGB;
    jpeg_set_defaults(&jpeg);
    if (progressive) jpeg_simple_progression(&jpeg);
    jpeg_start_compress(&jpeg, TRUE);
    for (int y = 0; y < 16; y++) {
        for (size_t k = 0; k < sizeof row; k++) row[k] = noise();
        jpeg_write_scanlines(&jpeg, rows, 1);
    }
    jpeg_finish_compress(&jpeg);
    jpeg_destroy_compress(&jpeg);
    size_t at = 0;
    while (data[at] != 0xff || data[at + 1] != (progressive ? 0xc2 : 0xc0)) at++;
    data[at + 5] = (uint8_t)(h >> 8), data[at + 6] = (uint8_t)h;
    data[at + 7] = (uint8_t)(w >> 8), data[at + 8] = (uint8_t)w;
    put_file(name, data, size - cut);
    free(data);
}

static void jpeg_files(void **state) {
    (void)state;
    sub_folder("d");
    for (int progressive = 0; progressive < 2; progressive++) {
        put_jpeg("d/a.jpg", progressive, 16, 16, 0);
        must_do("info d");
        put_jpeg("d/a.jpg", progressive, 16, 16, 100);
        must_refuse("info d", 1, "d/a.jpg", "damaged JPEG");
        put_jpeg("d/a.jpg", progressive, 65500, 65500, 0);
        must_refuse("info d --image-size 8", 1, "d/a.jpg", "65500 x 65500 pixels, expected at most");
        put_jpeg("d/a.jpg", progressive, 11585, 11585, 0);
        must_refuse("info d", 1, "d/a.jpg", "expected at most 4096 on a side");
        must_refuse("info d --image-size 8", 1, "d/a.jpg", progressive ? "would unpack to" : "damaged JPEG");
    }
}

/* ---- NumPy ---- */

/* A .npy header of version 1; to be followed by the items. */
static bytes npy_header(const char *descr, const char *shape) {
    bytes b = {.size = 0};
    const int len =
        snprintf((char *)b.data + 10, 118, "{'descr': '%s', 'fortran_order': False, 'shape': %s, }", descr, shape);
    memcpy(b.data, "\x93NUMPY\1\0\x76\0", 10);
    memset(b.data + 10 + len, ' ', (size_t)(118 - len));
    b.size = 128;
    return b;
}
static void put_npy(const char *name, bool zipped, const char *descr, const char *shape, size_t zeros) {
    const bytes b = npy_header(descr, shape);
    put_zeros(name, zipped, b.data, b.size, zeros);
}

static void npy_files(void **state) {
    (void)state;
    put_npy("x.npy", false, "|u1", "(100,28,28)", 100);
    must_refuse("info x.npy", 1, "x.npy", "has 228 bytes, its .npy header promises 78528");
    put_npy("x.npy", false, "|u1", "(2000000,64,64)", 100);
    must_refuse("info x.npy", 1, "x.npy", "has 228 bytes, its .npy header promises 8192000128");
    put_npy("x.npy", false, "|u1", "(99999999999,28,28)", 100);
    must_refuse("info x.npy", 1, "x.npy", "promises 99999999999 images");
    put_npy("x.npy", false, "|u1", "(18446744073709551617,1,1)", 1);
    must_refuse("info x.npy", 1, "x.npy", ".npy header: shape");
    put_npy("x.npy", false, "|u1", "(1,-28,28)", 100);
    must_refuse("info x.npy", 1, "x.npy", ".npy header: shape");
    put_npy("x.npy", false, "|O", "(1,2,2)", 100);
    must_refuse("info x.npy", 1, "x.npy", ".npy header: descr");
    put_npy("x.npy", false, "<f4", "(1,2,2)", 16);
    must_refuse("info x.npy", 1, "x.npy", "expected images of u1");
    put_text("x.npy", "\x93NUMPY\1\x7f\xff");
    must_refuse("info x.npy", 1, "x.npy", "ends within the .npy header");
    put_npy("bomb.npy.gz", true, "|u1", "(250,1024,1024)", MANY);
    must_refuse("info bomb.npy.gz", 1, "bomb.npy.gz", "unpacks to more than 256 times");
    put_npy("y.npy", false, "|u1", "(3,2,2)", 12);
    put_npy("y_labels.npy", false, "<i8", "(99999999999,)", 8);
    must_refuse("info y.npy", 1, "y_labels.npy", "expected 3 labels");
}

/* An archive of one deflated array of zeros. */
static void put_npz(const char *name, const char *shape, size_t zeros) {
    int code;
    const bytes b = npy_header("|u1", shape);
    uint8_t *data = calloc(b.size + zeros, 1);
    assert_non_null(data);
    memcpy(data, b.data, b.size);
    zip_t *zip = zip_open(in_folder(name), ZIP_CREATE | ZIP_TRUNCATE, &code);
    assert_non_null(zip);
    assert_int_equal(zip_file_add(zip, "arr_0.npy", zip_source_buffer(zip, data, b.size + zeros, 0), ZIP_FL_OVERWRITE),
                     0);
    assert_int_equal(zip_set_file_compression(zip, 0, ZIP_CM_DEFLATE, 6), 0);
    assert_int_equal(zip_close(zip), 0);
    free(data);
}

static void npz_files(void **state) {
    (void)state;
    put_npz("bomb.npz", "(250,1024,1024)", MANY);
    must_refuse("info bomb.npz", 1, "bomb.npz: arr_0.npy", "unpacks to more than 256 times");
    put_npz("more.npz", "(3,2,2)", 1 << 20);
    must_refuse("info more.npz", 1, "more.npz: arr_0.npy", "has at least 141 bytes, its .npy header promises 140");
    put_npz("less.npz", "(2000000,64,64)", 100);
    must_refuse("info less.npz", 1, "less.npz: arr_0.npy", "has 228 bytes, its .npy header promises 8192000128");
    assert_int_equal(truncate(in_folder("less.npz"), 100), 0);
    must_refuse("info less.npz", 1, "less.npz", "not a readable .npz");
    put_text("empty.npz", "PK\5\6\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0");
    must_refuse("info empty.npz", 1, "empty.npz", "");
}

/* ---- safetensors ---- */

static void put_safetensors(const char *name, const char *header, size_t data) {
    uint8_t file[4096] = {0};
    const size_t len = strlen(header);
    assert_true(len + data + 8 < sizeof file);
    file[0] = (uint8_t)len, file[1] = (uint8_t)(len >> 8);
    memcpy(file + 8, header, len);
    put_file(name, file, 8 + len + data);
}

static void safetensors_files(void **state) {
    (void)state;
    static const char *const bad[][2] = {
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]},"
         "\"b\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[4,12]}}",
         "the data of b overlaps that of a"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[0,16]}}", "array a: data from 0 to 16"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[3],\"data_offsets\":[-4,8]}}", "array a: data from -4"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1099511627776,1099511627776],\"data_offsets\":[0,12]}}", "too large"},
        {"{\"a\":{\"dtype\":\"F31\",\"shape\":[3],\"data_offsets\":[0,12]}}", "array a: dtype \"F31\", expected F32"},
        {"{\"a\":{\"dtype\":\"F64\",\"shape\":[3],\"data_offsets\":[0,12]}}", "array a: 12 bytes of data, its shape"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[3],\"data_offsets\":[0,12]},"
         "\"a\":{\"dtype\":\"F32\",\"shape\":[3],\"data_offsets\":[0,12]}}",
         "duplicate object key"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}", "the last 4 bytes belong to no array"},
        {"{\"a\":[1,2,3]}", "array a: expected an object"},
        {"[]", "expected a JSON object"},
        {"{\"a\":", "damaged header"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        put_safetensors("x.safetensors", bad[i][0], 12);
        must_refuse("info x.safetensors", 1, "x.safetensors", bad[i][1]);
    }
    put_file("x.safetensors", "\xff\xff\xff\xff\xff\xff\xff\x7f{}", 10);
    must_refuse("info x.safetensors", 1, "x.safetensors", "a header of 9223372036854775807 bytes");
    put_file("x.safetensors", "\x00\xe0\xf5\x05\0\0\0\0{}", 10);
    must_refuse("info x.safetensors", 1, "x.safetensors", "truncated: a header of 99999744 bytes");
    put_file("x.safetensors", "\0\0\0\0\0\0\0\0", 8); /* and a terabyte that is not there */
    assert_int_equal(truncate(in_folder("x.safetensors"), (off_t)1 << 40), 0);
    must_refuse("info x.safetensors", 1, "x.safetensors", "damaged header");
    static const char *const piece[] = {"[", "[],"};
    static const char *const fault[] = {"maximum parsing depth", "more values than"};
    for (int i = 0; i < 2; i++) {
        const size_t times = i ? 3000000 : 200000, len = 1 + strlen(piece[i]) * times;
        char head[10] = {(char)len, (char)(len >> 8), (char)(len >> 16), (char)(len >> 24), 0, 0, 0, 0, '['};
        uint8_t *text = malloc(9 + len);
        memcpy(text, head, 9);
        for (size_t k = 0; k < times; k++) memcpy(text + 9 + k * strlen(piece[i]), piece[i], strlen(piece[i]));
        put_file("x.safetensors", text, 8 + len);
        free(text);
        must_refuse("info x.safetensors", 1, "x.safetensors", fault[i]);
    }
}

/* ---- JSON ---- */

static void put_data_and_run(void) {
    sub_folder("data");
    put_idx("data/train-images-idx3-ubyte", 8, 8, 8, 512);
    must_do("train --data data --out run --steps 1 --batch 4 --sample-count 0 --quiet --threads 1 --base-channels 8 "
            "--norm-groups 4 --channel-mults 1,2 --res-blocks 1 --attention none");
}

/* Each file of JSON that a command reads, and the command; '%' is the file in a mixture's or a configuration's place. */
static const char *const json_files[][2] = {
    {"m.json", "info m.json"},
    {"run/unet/config.json", "sample run -o g.png --count 1 --steps 1 --quiet --threads 1"},
    {"run/scheduler/scheduler_config.json", "sample run -o g.png --count 1 --steps 1 --quiet --threads 1"},
    {"run/train.json", "train --out run --resume --steps 2 --quiet --threads 1"},
    {"c.json", "train --data data --out new --config c.json"},
    {"l.json", "sample run -o g.png --count 1 --quiet --threads 1 --levels l.json"},
};

static void json_of_every_kind(void **state) {
    (void)state;
    put_data_and_run();
    for (size_t i = 0; i < sizeof json_files / sizeof *json_files; i++) {
        const char *path = json_files[i][0], *command = json_files[i][1];
        char kept[64];
        snprintf(kept, sizeof kept, "%s.kept", path);
        const bool of_run = rename(in_folder(path), in_folder(kept)) == 0;
        put_text(path, "");
        must_refuse(command, 1, path, "line 1: ");
        put_text(path, "{\"a\": 1,\n\"b\": [1, 2");
        must_refuse(command, 1, path, "line 2: ");
        put_text(path, "{\"a\": 1, \"a\": 2}");
        must_refuse(command, 1, path, "duplicate object key");
        put_text(path, "[1, 2, 3]");
        must_refuse(command, 1, path, "expected a JSON object");
        put_text(path, "{\"a\": 1e999}");
        must_refuse(command, 1, path, "real number overflow");
        put_many(path, "{\"a\": @}", "[", 200000);
        must_refuse(command, 1, path, "maximum parsing depth");
        put_many(path, "{\"a\": [@0]}", "[],", 3000000); /* 9 MB, in memory 500 */
        must_refuse(command, 1, path, "more values than the two million");
        assert_int_equal(truncate(in_folder(path), (off_t)1 << 40), 0);
        must_refuse(command, 1, path, "holds more than the 67108864 bytes");
        if (of_run) assert_int_equal(rename(in_folder(kept), in_folder(path)), 0);
    }
    put_text("m.json", "{\"_class_name\": \"GaussianMixture\", \"shape\": [65536,65536,65536], \"weights\": [1], "
                       "\"means\": [[0]], \"stds\": [1]}");
    must_refuse("info m.json", 1, "m.json", "shape: expected [C,H,W]");
    put_text("m.json", "{\"_class_name\": \"GaussianMixture\", \"dataset\": \"m.json\"}");
    must_refuse("info m.json", 1, "m.json", "is no data set");
    must_do("sample run -o g.png --count 1 --steps 1 --quiet --threads 1"); /* each file is back */
}

/* ---- what is no file ---- */

static void pipes_devices_folders_and_circles(void **state) {
    (void)state;
    put_data_and_run();
    assert_int_equal(mkfifo(in_folder("pipe"), 0600), 0);
    assert_int_equal(symlink("/dev/zero", in_folder("device")), 0);
    assert_int_equal(symlink("circle", in_folder("circle")), 0);
    sub_folder("empty");
    static const struct {
        const char *name, *fault[3]; /* as data, as JSON, as tensors */
    } what[] = {
        {"pipe", {"is empty", "line 1: ", "is a pipe, expected a file"}},
        {"device", {"is a device, expected a file", "is a device, expected a file", "is a device, expected a file"}},
        {"circle", {"Too many levels of symbolic links", "Too many levels", "Too many levels"}},
        {"empty", {"the folder is empty", "is a folder, expected a file", "is a folder, expected a file"}},
    };
    for (size_t i = 0; i < sizeof what / sizeof *what; i++) {
        static const char *const command[][2] = {
            {"info %s", "0"},
            {"train --data %s --out new", "0"},
            {"eval %s --data data", "0"},
            {"train --data data --out new --config %s", "1"},
            {"sample run -o g.png --quiet --levels %s", "1"},
            {"sample run -o g.png --quiet --noise %s", "2"},
            {"forward run --input %s --output y.safetensors", "2"},
        };
        for (size_t k = 0; k < sizeof command / sizeof *command; k++) {
            char text[128];
            snprintf(text, sizeof text, command[k][0], what[i].name);
            must_refuse(text, 1, what[i].name, what[i].fault[*command[k][1] - '0']);
        }
    }
    /* in place of the files of a run and of a data set */
    static const char *const file[][3] = {
        {"run/unet/config.json", "sample run -o g.png --quiet", "1"},
        {"run/unet/diffusion_pytorch_model.safetensors", "sample run -o g.png --quiet", "2"},
        {"run/training_state.safetensors", "train --out run --resume --steps 2 --quiet", "2"},
        {"run/train.json", "train --out run --resume --steps 2 --quiet", "1"},
    };
    for (size_t i = 0; i < 2; i++)
        for (size_t k = 0; k < sizeof file / sizeof *file; k++) {
            char to[16];
            snprintf(to, sizeof to, "%s%s", strchr(strchr(file[k][0], '/') + 1, '/') ? "../../" : "../", what[i].name);
            assert_int_equal(rename(in_folder(file[k][0]), in_folder("kept")), 0);
            assert_int_equal(symlink(to, in_folder(file[k][0])), 0);
            must_refuse(file[k][1], 1, file[k][0], what[i].fault[*file[k][2] - '0']);
            assert_int_equal(rename(in_folder("kept"), in_folder(file[k][0])), 0);
        }
    assert_int_equal(symlink("../device", in_folder("data/train-labels-idx1-ubyte")), 0);
    must_refuse("info data", 1, "train-labels-idx1-ubyte", "is a device, expected a file");
    assert_int_equal(remove(in_folder("data/train-labels-idx1-ubyte")), 0);
    assert_int_equal(symlink("../pipe", in_folder("data/train-labels-idx1-ubyte")), 0);
    must_refuse("info data", 1, "train-labels-idx1-ubyte", "ends within the IDX header");
    /* among pictures: neither is one; a circle is a name that leads nowhere */
    sub_folder("pictures");
    assert_int_equal(mkfifo(in_folder("pictures/a.png"), 0600), 0);
    assert_int_equal(symlink("/dev/zero", in_folder("pictures/b.png")), 0);
    must_refuse("info pictures", 1, "pictures", "holds no PNG or JPEG file but");
    assert_int_equal(symlink("c.png", in_folder("pictures/c.png")), 0);
    must_refuse("info pictures", 1, "pictures/c.png", "Too many levels of symbolic links");
}

static void folders_in_folders(void **state) {
    (void)state;
    char *path = malloc(8192);
    assert_non_null(path);
    const uint8_t pixel[4] = {0};
    int depth = 0;
    for (int at = snprintf(path, 8192, "%s/deep", folder); at < 3800; at += snprintf(path + at, 16, "/d"), depth++)
        assert_int_equal(mkdir(path, 0700), 0);
    *strrchr(path, '/') = 0;
    strcat(path, "/a.png");
    CHECK_OK(ath_png_save(path, pixel, 2, 2, 1, NULL, 0, &err));
    must_do("info deep");
    must_refuse("info deep/d/d --image-size 4 --max-pixels 3", 1, "/d/a.png", "expected at most 3 in all");
    free(path);
}

int main(void) {
    setenv("ATH_CACHE", "", 1);
    setenv("ASAN_OPTIONS", "allocator_may_return_null=1", 1); /* as malloc does elsewhere: too much is refused */
    const struct CMUnitTest tests[] = {
        TEST(idx_files),          TEST(cifar_files),        TEST(png_files),
        TEST(jpeg_files),         TEST(npy_files),          TEST(npz_files),
        TEST(safetensors_files),  TEST(json_of_every_kind), TEST(pipes_devices_folders_and_circles),
        TEST(folders_in_folders),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
