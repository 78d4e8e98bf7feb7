#include "handler/ingest_format.h"
#include "test.h"

static uint64_t fingerprint(struct hd_label *labels, unsigned count) {
    return hd_fingerprint(labels, count);
}

/* The vectors of Prometheus's own tests (common/model/signature_test.go). */
TEST(fingerprints_are_those_of_prometheus) {
    struct hd_label none[1],
        two[] = {{B_LIT("name"), B_LIT("garland, briggs")}, {B_LIT("fear"), B_LIT("love is not enough")}};
    CHECK_UINT(fingerprint(none, 0), 14695981039346656037u);
    CHECK_UINT(fingerprint(two, 2), 5799056148416392346u);
    CHECK_SLICE(two[0].name.ptr, two[0].name.len, "fear"); /* in order now */
}

TEST(the_order_of_labels_does_not_matter) {
    struct hd_label there[] = {{B_LIT("a"), B_LIT("1")}, {B_LIT("ab"), B_LIT("2")}, {B_LIT("B"), B_LIT("3")}};
    struct hd_label back[] = {{B_LIT("B"), B_LIT("3")}, {B_LIT("ab"), B_LIT("2")}, {B_LIT("a"), B_LIT("1")}};
    CHECK_UINT(fingerprint(there, 3), fingerprint(back, 3));
}

TEST(where_a_name_ends_does_matter) {
    struct hd_label one[] = {{B_LIT("ab"), B_LIT("c")}}, other[] = {{B_LIT("a"), B_LIT("bc")}};
    CHECK(fingerprint(one, 1) != fingerprint(other, 1));
}

const struct test_case ingest_tests[] = {
    {"fingerprints_are_those_of_prometheus", fingerprints_are_those_of_prometheus},
    {"the_order_of_labels_does_not_matter", the_order_of_labels_does_not_matter},
    {"where_a_name_ends_does_matter", where_a_name_ends_does_matter},
    {0},
};
