/* SHA-256 is that of FIPS 180-4: NIST's examples, in one piece and in many. */
#include "check.h"
#include "base/sha256.h"

static void check_hash(const char *text, size_t times, size_t piece, const char *expected) {
    uint8_t hash[32];
    char got[65];
    ath_sha256 s = ath_sha256_begin();
    for (size_t i = 0; i < times; i++)
        for (size_t at = 0, len = strlen(text); at < len; at += piece)
            ath_sha256_add(&s, text + at, len - at < piece ? len - at : piece);
    ath_sha256_end(&s, hash);
    for (int i = 0; i < 32; i++) snprintf(got + 2 * i, 3, "%02x", hash[i]);
    CHECK(strcmp(got, expected) == 0, "%zu times \"%s\" in pieces of %zu: %s, expected %s", times, text, piece, got,
          expected);
}

static void the_examples_of_nist(void **state) {
    (void)state;
    const char *two_blocks = "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq";
    for (size_t piece = 1; piece < 70; piece += 7) {
        check_hash("", 1, piece, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
        check_hash("abc", 1, piece, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        check_hash(two_blocks, 1, piece, "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
    }
    check_hash("aaaaaaaaaa", 100000, 10, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(the_examples_of_nist)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
