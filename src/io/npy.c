/* NumPy arrays as data sets: .npy, and .npz, an archive of them (NEP 1,
 * https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html): a magic number, the
 * version, the length of the header, the header as a Python dict, the items.
 * Read here: images of unsigned bytes, (n,h,w) or (n,h,w,c), in C order; labels of any integers. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/file.h"
#include "io/dataset_private.h"
#include "io/npz.h"

enum { MOST_DIM = 4, MOST_HEADER = 12 + 65535, MOST_CLASSES = 1 << 16 };

typedef struct npy_header {
    char kind; /* 'u', 'i', ... as in the descr "<i8" */
    bool big_endian;
    int bytes; /* of an item */
    int n_dim;
    uint64_t dim[MOST_DIM];
    size_t size; /* bytes before the items */
} npy_header;

/* ---- the header's dict ---- */

/* Python source of a dict with literals; `at` == `end` at its end. */
typedef struct literal {
    const char *at, *end;
} literal;

static void skip_space(literal *t) {
    while (t->at < t->end && (*t->at == ' ' || *t->at == '\t' || *t->at == '\n' || *t->at == '\r')) t->at++;
}

static bool take(literal *t, char c) {
    skip_space(t);
    if (t->at == t->end || *t->at != c) return false;
    t->at++;
    return true;
}

static bool take_word(literal *t, const char *word) {
    const size_t n = strlen(word);
    skip_space(t);
    if ((size_t)(t->end - t->at) < n || memcmp(t->at, word, n) != 0) return false;
    t->at += n;
    return true;
}

/* A string without escapes, of at most room - 1 bytes. */
static bool take_string(literal *t, char *text, size_t room) {
    skip_space(t);
    const char quote = t->at < t->end ? *t->at : 0;
    if (quote != '\'' && quote != '"') return false;
    const char *from = ++t->at;
    while (t->at < t->end && *t->at != quote && *t->at != '\\') t->at++;
    const size_t n = (size_t)(t->at - from);
    if (t->at == t->end || *t->at != quote || n >= room) return false;
    memcpy(text, from, n);
    text[n] = 0;
    t->at++;
    return true;
}

static bool take_size(literal *t, uint64_t *value) {
    skip_space(t);
    const char *from = t->at;
    *value = 0;
    for (; t->at < t->end && *t->at >= '0' && *t->at <= '9' && t->at - from < 15; t->at++)
        *value = 10 * *value + (uint64_t)(*t->at - '0');
    return t->at > from;
}

/* "(7, 5, 4)", "(7,)" or "()" */
static bool take_shape(literal *t, npy_header *header) {
    if (!take(t, '(')) return false;
    while (!take(t, ')')) {
        if (header->n_dim == MOST_DIM || !take_size(t, &header->dim[header->n_dim])) return false;
        header->n_dim++;
        if (!take(t, ',')) return header->n_dim > 1 && take(t, ')');
    }
    return true;
}

/* "|u1", "<i8": byte order, kind, bytes of an item */
static bool read_descr(const char *descr, npy_header *header) {
    if (strlen(descr) != 3 || !strchr("|<>", descr[0]) || descr[2] < '1' || descr[2] > '8') return false;
    header->big_endian = descr[0] == '>';
    header->kind = descr[1];
    header->bytes = descr[2] - '0';
    return descr[0] != '|' || header->bytes == 1;
}

/* The dict, and nothing but space after it. What is wrong, or NULL. */
static const char *read_dict(literal t, npy_header *header, bool *fortran) {
    bool has_descr = false, has_order = false, has_shape = false;
    if (!take(&t, '{')) return "expected a dict";
    while (!take(&t, '}')) {
        char key[16], descr[16];
        if (!take_string(&t, key, sizeof key) || !take(&t, ':')) return "expected a key and ':'";
        if (strcmp(key, "descr") == 0 && !has_descr) {
            has_descr = true;
            if (!take_string(&t, descr, sizeof descr) || !read_descr(descr, header))
                return "descr: expected a plain type, as '|u1'";
        } else if (strcmp(key, "fortran_order") == 0 && !has_order) {
            has_order = true;
            *fortran = take_word(&t, "True");
            if (!*fortran && !take_word(&t, "False")) return "fortran_order: expected True or False";
        } else if (strcmp(key, "shape") == 0 && !has_shape) {
            has_shape = true;
            if (!take_shape(&t, header)) return "shape: expected a tuple of at most 4 sizes";
        } else
            return "expected the keys descr, fortran_order and shape, each once";
        if (take(&t, ',')) continue;
        if (!take(&t, '}')) return "expected ',' or '}'";
        break;
    }
    skip_space(&t);
    if (!has_descr || !has_order || !has_shape) return "expected the keys descr, fortran_order and shape, each once";
    return t.at == t.end ? NULL : "expected nothing after the dict";
}

/* `head` is the beginning of the file, whole where that has fewer than MOST_HEADER bytes. */
static ath_status parse_header(const char *name, const uint8_t *head, size_t got, npy_header *header, ath_err *err) {
    *header = (npy_header){0};
    if (got < 10) return ath_fail(err, ATH_E_FORMAT, "%s: ends within the .npy header", name);
    if (memcmp(head, "\x93NUMPY", 6) != 0)
        return ath_fail(err, ATH_E_FORMAT, "%s: not a .npy array: starts with %02x %02x", name, head[0], head[1]);
    const int version = head[6];
    if (version < 1 || version > 3 || head[7] != 0)
        return ath_fail(err, ATH_E_FORMAT, "%s: .npy version %d.%d, expected 1.0, 2.0 or 3.0", name, version, head[7]);
    const size_t start = version == 1 ? 10 : 12;
    uint64_t len = head[8] | (uint64_t)head[9] << 8;
    if (version > 1 && got >= 12) len |= (uint64_t)head[10] << 16 | (uint64_t)head[11] << 24;
    if (len > MOST_HEADER - 12)
        return ath_fail(err, ATH_E_FORMAT, "%s: .npy header of %llu bytes, expected at most 65535", name,
                        (unsigned long long)len);
    if (got < start + len) return ath_fail(err, ATH_E_FORMAT, "%s: ends within the .npy header", name);
    const char *text = (const char *)head + start;
    bool fortran = false;
    const char *wrong = read_dict((literal){text, text + len}, header, &fortran);
    if (wrong) return ath_fail(err, ATH_E_FORMAT, "%s: .npy header: %s", name, wrong);
    if (fortran)
        return ath_fail(err, ATH_E_FORMAT,
                        "%s: fortran_order is True, expected False: save numpy.ascontiguousarray(array)", name);
    header->size = start + (size_t)len;
    return ATH_OK;
}

/* ---- where arrays come from ---- */

/* A file, or a member of an archive. */
typedef struct source {
    char name[1024]; /* for messages */
    const char *path;
    ath_npz *archive; /* NULL: the file itself */
    int64_t index;
} source;

/* The first MOST_HEADER bytes, or all there are. */
static ath_status read_head(const source *s, uint8_t **data, size_t *size, ath_err *err) {
    if (s->archive) return ath_npz_read(s->archive, s->index, MOST_HEADER, data, size, err);
    *data = malloc(MOST_HEADER);
    if (!*data) return ath_fail(err, ATH_E_MEM, "%s: out of memory", s->name);
    const ath_status status = ath_file_peek(s->path, *data, MOST_HEADER, size, err);
    if (status != ATH_OK) free(*data);
    return status;
}

static ath_status open_array(const source *s, npy_header *header, ath_err *err) {
    uint8_t *head;
    size_t got;
    ATH_TRY(read_head(s, &head, &got, err));
    const ath_status status = parse_header(s->name, head, got, header, err);
    free(head);
    return status;
}

/* The `n` items, where the header, checked by the caller, says that there are so many. */
static ath_status read_items(const source *s, const npy_header *header, uint64_t n, uint8_t **data, ath_err *err) {
    const size_t bytes = (size_t)n * (size_t)header->bytes, expected = header->size + bytes;
    size_t size;
    const ath_status status = s->archive ? ath_npz_read(s->archive, s->index, expected + 1, data, &size, err)
                                         : ath_file_read_gz(s->path, expected, data, &size, err);
    if (status != ATH_OK) return ath_fail_within(err, status, "expected %zu bytes after the .npy header", bytes);
    if (size != expected) {
        free(*data);
        *data = NULL;
        return ath_fail(err, ATH_E_FORMAT, "%s: has %s%zu bytes, its .npy header promises %zu", s->name,
                        size > expected ? "at least " : "", size, expected);
    }
    memmove(*data, *data + header->size, bytes);
    return ATH_OK;
}

/* ---- images ---- */

static ath_status read_images(ath_dataset *out, const source *s, ath_err *err) {
    npy_header header;
    ATH_TRY(open_array(s, &header, err));
    if (header.kind != 'u' || header.bytes != 1)
        return ath_fail(err, ATH_E_FORMAT, "%s: holds items of type %c%d, expected images of u1 (numpy.uint8)", s->name,
                        header.kind, header.bytes);
    if (header.n_dim < 3)
        return ath_fail(err, ATH_E_FORMAT, "%s: has %d dimensions, expected images (n,h,w) or (n,h,w,c)", s->name,
                        header.n_dim);
    const uint64_t *dim = header.dim, c = header.n_dim == 4 ? dim[3] : 1;
    if (c != 1 && c != 3 && (dim[1] == 1 || dim[1] == 3))
        return ath_fail(err, ATH_E_FORMAT,
                        "%s: channels seem to come first, expected images (n,h,w,c): save array.transpose(0, 2, 3, 1)",
                        s->name);
    ATH_TRY(ath_dataset_check_shape(s->name, dim[0], dim[1], dim[2], c, err));
    out->n = (int)dim[0];
    out->h = (int)dim[1];
    out->w = (int)dim[2];
    out->c = (int)c;
    return read_items(s, &header, dim[0] * dim[1] * dim[2] * c, &out->pixel, err);
}

/* ---- labels ---- */

/* Item i; one that is negative or beyond 2^63 is past any class. */
static uint64_t item_at(const npy_header *header, const uint8_t *data, size_t i) {
    const size_t bytes = (size_t)header->bytes;
    const uint8_t *p = data + i * bytes;
    uint64_t v = 0;
    for (size_t k = 0; k < bytes; k++) v |= (uint64_t)p[header->big_endian ? bytes - 1 - k : k] << 8 * k;
    const bool negative = header->kind == 'i' && v >> (8 * bytes - 1);
    return negative ? UINT64_MAX : v;
}

static ath_status take_labels(ath_dataset *out, const source *s, const npy_header *header, const uint8_t *data,
                              ath_err *err) {
    out->label = malloc((size_t)out->n * sizeof *out->label);
    if (!out->label) return ath_fail(err, ATH_E_MEM, "%s: out of memory for %d labels", s->name, out->n);
    for (int i = 0; i < out->n; i++) {
        const uint64_t v = item_at(header, data, (size_t)i);
        if (v >= MOST_CLASSES)
            return ath_fail(err, ATH_E_FORMAT, "%s: label %d is out of range, expected 0 to %d", s->name, i,
                            MOST_CLASSES - 1);
        out->label[i] = (int32_t)v;
        if (out->label[i] >= out->n_class) out->n_class = out->label[i] + 1;
    }
    return ath_dataset_number_classes(out, s->name, err);
}

static ath_status read_labels(ath_dataset *out, const source *s, ath_err *err) {
    npy_header header;
    ATH_TRY(open_array(s, &header, err));
    const bool whole = header.bytes == 1 || header.bytes == 2 || header.bytes == 4 || header.bytes == 8;
    if ((header.kind != 'u' && header.kind != 'i') || !whole)
        return ath_fail(err, ATH_E_FORMAT, "%s: holds items of type %c%d, expected labels that are integers", s->name,
                        header.kind, header.bytes);
    const bool column = header.n_dim == 2 && header.dim[1] == 1;
    if ((header.n_dim != 1 && !column) || header.dim[0] != (uint64_t)out->n)
        return ath_fail(err, ATH_E_FORMAT, "%s: expected %d labels, one an image, in one dimension", s->name, out->n);
    uint8_t *data;
    ATH_TRY(read_items(s, &header, header.dim[0], &data, err));
    const ath_status status = take_labels(out, s, &header, data, err);
    free(data);
    return status;
}

/* ---- the two formats ---- */

/* A file's name in parts: "<folder/><stem><.npy or .npy.gz>". */
typedef struct npy_name {
    char folder[900], stem[256];
    const char *end;
} npy_name;

static bool split_name(npy_name *name, const char *path) {
    const char *last = ath_last_part(path);
    name->end = ath_ends_with(last, ".npy.gz") ? ".npy.gz" : ".npy";
    const size_t folder = (size_t)(last - path), len = strlen(last);
    const size_t stem = ath_ends_with(last, name->end) ? len - strlen(name->end) : len;
    if (folder >= sizeof name->folder || stem >= sizeof name->stem) return false; /* as no user's are */
    memcpy(name->folder, path, folder);
    memcpy(name->stem, last, stem);
    name->folder[folder] = name->stem[stem] = 0;
    return true;
}

/* Attempt k at the stem of the labels' name; false where the images' name gives none. */
static bool guess_stem(const npy_name *name, int k, char *stem, size_t room) {
    const char *from = name->stem, *images = NULL;
    for (const char *p = from; (p = strstr(p, "images")) != NULL; p++) images = p;
    const bool is_x = (*from == 'x' || *from == 'X') && (from[1] == '_' || from[1] == 0);
    switch (k) {
    case 0:
        return snprintf(stem, room, "%s_labels", from) > 0;
    case 1:
        return images && snprintf(stem, room, "%.*slabels%s", (int)(images - from), from, images + 6) > 0;
    case 2:
        return is_x && snprintf(stem, room, "y%s", from + 1) > 0;
    default:
        return strcmp(from, "labels") != 0 && snprintf(stem, room, "labels") > 0;
    }
}

/* The file of labels that goes with one of images: see dataset.h. False without one. */
static bool find_labels(const char *path, source *labels) {
    npy_name name;
    char stem[300];
    if (!split_name(&name, path)) return false;
    for (int k = 0; k < 4; k++) {
        if (!guess_stem(&name, k, stem, sizeof stem)) continue;
        const int len = snprintf(labels->name, sizeof labels->name, "%s%s%s", name.folder, stem, name.end);
        if ((size_t)len < sizeof labels->name && ath_path_exists(labels->name)) return true;
    }
    return false;
}

ath_status ath_dataset_read_npy(ath_dataset *out, const char *path, const ath_dataset_options *options, ath_err *err) {
    source s = {.path = path}, labels = {.path = labels.name};
    snprintf(s.name, sizeof s.name, "%s", path);
    ATH_TRY(read_images(out, &s, err));
    if (find_labels(path, &labels)) ATH_TRY(read_labels(out, &labels, err));
    return ath_dataset_fit(out, path, options, err);
}

/* What images and labels are called by numpy.savez without names, by hand, by Keras, by MedMNIST. */
static const char *const train_key[][2] = {
    {"arr_0", "arr_1"}, {"images", "labels"}, {"x_train", "y_train"}, {"train_images", "train_labels"}};
static const char *const test_key[][2] = {{"x_test", "y_test"}, {"test_images", "test_labels"}};
enum { N_TRAIN = sizeof train_key / sizeof *train_key, N_TEST = sizeof test_key / sizeof *test_key };

static source member(ath_npz *archive, const char *path, int64_t index) {
    source s = {.path = path, .archive = archive, .index = index};
    snprintf(s.name, sizeof s.name, "%s: %s", path, ath_npz_name(archive, index));
    return s;
}

static ath_status read_archive(ath_dataset *out, ath_npz *z, const char *path, bool test_split, ath_err *err) {
    const char *const(*key)[2] = test_split ? test_key : train_key;
    for (int k = 0; k < (test_split ? N_TEST : N_TRAIN); k++) {
        const int64_t images = ath_npz_find(z, key[k][0]), labels = ath_npz_find(z, key[k][1]);
        if (images < 0) continue;
        const source of_images = member(z, path, images);
        ATH_TRY(read_images(out, &of_images, err));
        if (labels < 0) return ATH_OK;
        const source of_labels = member(z, path, labels);
        return read_labels(out, &of_labels, err);
    }
    return ath_fail(err, ATH_E_FORMAT, "%s: holds no array %s%s%.100s", path,
                    test_split ? "x_test or test_images" : "arr_0, images, x_train or train_images",
                    ath_npz_count(z) > 0 ? " but " : "", ath_npz_count(z) > 0 ? ath_npz_name(z, 0) : "");
}

ath_status ath_dataset_read_npz(ath_dataset *out, const char *path, const ath_dataset_options *options, ath_err *err) {
    ath_npz *z;
    ATH_TRY(ath_npz_open(&z, path, err));
    const ath_status status = read_archive(out, z, path, options->test_split, err);
    ath_npz_close(z);
    ATH_TRY(status);
    return ath_dataset_fit(out, path, options, err);
}
