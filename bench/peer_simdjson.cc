// simdjson's DOM parse, for micro_json.c to stand beside: Debian's package, by C's calling convention.
#include <simdjson.h>

extern "C" const char *peer_use(const char *name);
extern "C" bool peer_parse(const char *text, size_t len);

static simdjson::dom::parser parser;

// The implementation of one instruction set (haswell: AVX2; westmere: SSE); its name, or NULL where this machine has it not.
extern "C" const char *peer_use(const char *name) {
    const simdjson::implementation *i = simdjson::get_available_implementations()[name];
    if (!i || !i->supported_by_runtime_system())
        return nullptr;
    simdjson::get_active_implementation() = i;
    parser = simdjson::dom::parser(); // it keeps to the one that it began with
    return name;
}

// SIMDJSON_PADDING bytes behind the text are the caller's.
extern "C" bool peer_parse(const char *text, size_t len) {
    simdjson::dom::element root;
    return parser.parse(text, len, false).get(root) == simdjson::SUCCESS;
}
