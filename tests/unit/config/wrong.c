/* What a wrong config is told: text and exact messages. */
#include "support.h"
#include "test.h"

/* Lines 1 and 2, and the line behind what is tested; most cases begin in line 3. */
#define HEAD "version: 1\nlisten: [':80']\n"
#define TAIL "\nroutes: [{match: /, respond: hi}]\n"
#define UPSTREAM(options)                                           \
    HEAD "upstreams: {u: {endpoints: ['http://h'], " options "}}\n" \
         "routes: [{match: /, proxy: {upstream: u}}]\n"
#define ROUTE(match) HEAD "routes:\n- match: {" match "}\n  respond: hi\n"
#define LIMIT(options) HEAD "use: [m]\nmiddleware: {m: {limit: {" options "}}}" TAIL

TEST(unknown_names) {
    static const struct said_case cases[] = {
        {UPSTREAM("tiemout: 3s"),
         "w:3:42: unknown option \"tiemout\" of an upstream; did you mean \"timeout\"?\n"},
        {HEAD "log: {colour: red}" TAIL,
         "w:3:7: unknown option \"colour\" of the log; it has: level, format\n"},
        {HEAD "upstream: {}" TAIL,
         "w:3:1: unknown option \"upstream\" of the config; did you mean \"upstreams\"?\n"},
        {UPSTREAM("pool: {max_ilde: 3}"),
         "w:3:49: unknown option \"max_ilde\" of a pool; did you mean \"max_idle\"?\n"},
        {HEAD "routes:\n- {match: /, respnod: hi}\n",
         "w:4:14: unknown option \"respnod\" of a route; did you mean \"respond\"?\n"},
        {HEAD "routes:\n- {match: /, respond: {stauts: 200}}\n",
         "w:4:24: unknown option \"stauts\" of a response; did you mean \"status\"?\n"},
        {HEAD "use: [request_ids]" TAIL,
         "w:3:7: there is no middleware \"request_ids\"; did you mean \"request_id\"?\n"},
        {HEAD "use: [whatever]" TAIL,
         "w:3:7: there is no middleware \"whatever\": add it to `middleware`, or name a kind of them\n"},
        {HEAD "middleware: {m: {limits: {}}}" TAIL,
         "w:3:18: unknown option \"limits\" of a middleware; did you mean \"limit\"?\n"},
        {HEAD "\"a\\nb\": 1" TAIL,
         "w:3:1: unknown option \"a?b\" of the config; it has: version, workers, io, balance_workers, log, trusted_proxies, listen, admin, "
         "limits, use, register, upstreams, stores, tables, middleware, routes\n"},
        {0},
    };
    check_said(cases);
}

TEST(missing) {
    static const struct said_case cases[] = {
        {"",
         "w:1:1: the config needs \"version\", such as version: 1\n"
         "w:1:1: the config needs \"listen\", such as listen: [{addr: \":8080\"}]\n"
         "w:1:1: the config needs \"routes\", such as routes: [{match: {path: /hello}, respond: {status: 200}}]\n"},
        {"listen: [':80']" TAIL, "w:1:1: the config needs \"version\", such as version: 1\n"},
        {HEAD "routes: []\n",
         "w:3:9: \"routes\" needs at least 1 entry, such as [{match: {path: /hello}, respond: {status: 200}}]\n"},
        {HEAD "routes:\n",
         "w:3:8: \"routes\" needs at least 1 entry, such as [{match: {path: /hello}, respond: {status: 200}}]\n"},
        {"version: 1\nlisten: []" TAIL,
         "w:2:9: \"listen\" needs at least 1 entry, such as [{addr: \":8080\"}]\n"},
        {"version: 1\nlisten: [{backlog: 1}]" TAIL,
         "w:2:10: a listener needs \"addr\", such as addr: \":8080\"\n"},
        {HEAD "upstreams:\n  u: {}\n  v: {endpoints: []}" TAIL,
         "w:4:3: an upstream needs \"endpoints\", such as endpoints: [\"http://127.0.0.1:9001\"], or \"discover\"\n"
         "w:5:18: an upstream needs \"endpoints\", such as endpoints: [\"http://127.0.0.1:9001\"], or \"discover\"\n"},
        {HEAD "upstreams:\n  u:\n    endpoints:\n    - weight: 2" TAIL,
         "w:6:7: an endpoint needs \"url\", such as url: \"http://127.0.0.1:9001\"\n"},
        {HEAD "routes:\n- respond: hi\n",
         "w:4:3: a route needs \"match\", such as match: {path: \"/api/*\"}\n"},
        {HEAD "routes:\n- match: {host: h}\n  respond: hi\n",
         "w:4:3: a match needs \"path\", such as path: \"/api/*\"\n"},
        {HEAD "routes:\n- match: /\n", "w:4:3: a route needs a handler: one of proxy, respond\n"},
        {HEAD "routes:\n- \n", "w:4:2: a route needs \"match\", such as match: {path: \"/api/*\"}\n"
                               "w:4:2: a route needs a handler: one of proxy, respond\n"},
        {HEAD "routes:\n- match: /\n  proxy: {}\n", "w:5:3: a proxy needs \"upstream\"\n"},
        {HEAD "middleware: {m: {}}" TAIL,
         "w:3:14: a middleware needs a kind: one of request_id, access_log, limit\n"},
        {LIMIT("ban: {reason: x}"), "w:4:26: a ban needs \"time\"\n"},
        {0},
    };
    check_said(cases);
}

TEST(twice) {
    static const struct said_case cases[] = {
        {HEAD "log: {level: info, level: debug}" TAIL,
         "w:3:20: \"level\" is given twice; the first one is in line 3\n"},
        {"version: 1\nlisten: [':80', ':80']" TAIL,
         "w:2:17: the listener :80 takes the port of :80 in line 2\n"},
        {"version: 1\nlisten:\n- ':80'\n- 127.0.0.1:81\n- '[::1]:80'" TAIL,
         "w:5:3: the listener [::1]:80 takes the port of :80 in line 3\n"},
        {"version: 1\nlisten: [127.0.0.1:80, 127.0.0.2:80, unix:/a, unix:/b, ':0', ':0']" TAIL, ""},
        {"version: 1\nlisten: [unix:/a, unix:/a]" TAIL,
         "w:2:19: the listener unix:/a takes the port of unix:/a in line 2\n"},
        {"version: 1\nlisten: [':9901']" TAIL,
         "w:2:10: the listener :9901 and the admin address 127.0.0.1:9901 take the same port\n"},
        {HEAD "use: [request_id, access_log, request_id]" TAIL,
         "w:3:31: \"request_id\" is in this list twice\n"},
        {HEAD "routes:\n- match: /\n  respond: hi\n  proxy: {upstream: u}\n",
         "w:6:3: a route has one handler, and \"respond\" is given in line 5\n"},
        {HEAD "middleware:\n  m:\n    limit: {}\n    request_id: {}" TAIL,
         "w:6:5: a middleware has one kind, and \"limit\" is given in line 5\n"},
        {ROUTE("path: /, methods: [GET, PUT, GET]"), "w:4:40: the method \"GET\" is in this list twice\n"},
        {ROUTE("path: '/{a}/b/{a}'"),
         "w:4:17: \"path\" cannot be \"/{a}/b/{a}\": a parameter is there twice: give each a name of its own\n"},
        {0},
    };
    check_said(cases);
}

TEST(wrong_types) {
    static const struct said_case cases[] = {
        {UPSTREAM("timeout: [1s]"), "w:3:51: \"timeout\" cannot be a list: give a duration, such as 30s\n"},
        {UPSTREAM("timeout: {a: 1s}"), "w:3:51: \"timeout\" cannot be a map: give a duration, such as 30s\n"},
        {UPSTREAM("timeout: "),
         "w:3:51: \"timeout\" cannot be empty: give a duration, such as 30s, or leave the line out\n"},
        {UPSTREAM("pool: 3"), "w:3:48: \"pool\" cannot be \"3\": give a map\n"},
        {UPSTREAM("balance: []"),
         "w:3:51: \"balance\" cannot be a list: it is one of round_robin, weighted_round_robin, random, least_request, p2c, consistent_hash\n"},
        {HEAD "upstreams: [a]" TAIL, "w:3:12: \"upstreams\" cannot be a list: give a map\n"},
        {HEAD "upstreams: {u: 1}" TAIL, "w:3:16: an upstream cannot be \"1\": give a map of its options\n"},
        {HEAD "upstreams: {u: {endpoints: 'http://h'}}" TAIL,
         "w:3:28: \"endpoints\" cannot be \"http://h\": give a list, such as [\"http://127.0.0.1:9001\"]\n"},
        {HEAD "upstreams: {u: {endpoints: [[a]]}}" TAIL,
         "w:3:29: an endpoint cannot be a list: give a map of its options\n"},
        {HEAD "routes: [/]\n", "w:3:10: a route cannot be \"/\": give a map of its options\n"},
        {HEAD "routes: {match: /}\n",
         "w:3:9: \"routes\" cannot be a map: give a list, such as [{match: {path: /hello}, respond: {status: 200}}]\n"},
        {HEAD "routes:\n- match: /\n  respond: [a]\n",
         "w:5:12: \"respond\" cannot be a list: give a map of its options\n"},
        {HEAD "routes:\n- match: /\n  proxy: orders\n",
         "w:5:10: \"proxy\" cannot be \"orders\": give a map of its options\n"},
        {HEAD "middleware: {m: {request_id: {a: 1}}}" TAIL,
         "w:3:30: \"request_id\" has no options: write request_id: {}\n"},
        {ROUTE("path: /, methods: GET"),
         "w:4:29: \"methods\" cannot be \"GET\": give a list of texts, such as [GET, POST]\n"},
        {ROUTE("path: /, methods: [[GET], {a: b}, ]"),
         "w:4:30: an entry of \"methods\" cannot be a list: give a text\n"
         "w:4:37: an entry of \"methods\" cannot be a map: give a text\n"},
        {HEAD "use: [~, [a], '', request_id]" TAIL,
         "w:3:7: an entry of \"use\" cannot be empty: give a text\n"
         "w:3:10: an entry of \"use\" cannot be a list: give a text\n"
         "w:3:15: an entry of \"use\" cannot be \"\": give a text, or leave the entry out\n"},
        {HEAD "routes:\n- match: /\n  proxy: {upstream: }\n",
         "w:5:21: \"upstream\" cannot be empty: give the name of an upstream\n"},
        {ROUTE("path: [a]"), "w:4:17: \"path\" cannot be a list: give a text, such as \"/api/*\"\n"},
        {HEAD "routes:\n- match: /\n  respond: {headers: {X-A: [1], X-B: , X-C: {}}}\n",
         "w:5:28: \"X-A\" of \"headers\" cannot be a list: give a text, in quotes if it is empty\n"
         "w:5:38: \"X-B\" of \"headers\" cannot be empty: give a text, in quotes if it is empty\n"
         "w:5:45: \"X-C\" of \"headers\" cannot be a map: give a text, in quotes if it is empty\n"},
        {HEAD "workers: '4'" TAIL, "w:3:10: \"workers\" cannot be \"4\": write the number without quotes\n"},
        {LIMIT("dry_run: 'true'"),
         "w:4:35: \"dry_run\" cannot be \"true\": write true or false without quotes\n"},
        {HEAD "workers: \"auto\"" TAIL, ""},
        {HEAD "workers: '${NONE:-4}'" TAIL, ""},
        {HEAD "limits:" TAIL, ""}, /* empty is the same as absent */
        {0},
    };
    check_said(cases);
}

TEST(units_and_ranges) {
    static const struct said_case cases[] = {
        {UPSTREAM("timeout: 30"),
         "w:3:51: \"timeout\" cannot be \"30\": a duration needs its unit, such as 30s or 30ms\n"},
        {UPSTREAM("timeout: 0"),
         "w:3:51: \"timeout\" cannot be \"0\": a duration needs its unit, such as 0s or 0ms\n"},
        {UPSTREAM("timeout: 3 s"),
         "w:3:51: \"timeout\" cannot be \"3 s\": give a duration with its unit, such as 30s, 250ms "
         "or 1m30s (us, ms, s, m, h, d)\n"},
        {UPSTREAM("timeout: 0s"), "w:3:51: \"timeout\" cannot be \"0s\": it lies between 1ms and 24h\n"},
        {UPSTREAM("timeout: 25h"), "w:3:51: \"timeout\" cannot be \"25h\": it lies between 1ms and 24h\n"},
        {UPSTREAM("retry: {attempts: 0}"),
         "w:3:60: \"attempts\" cannot be \"0\": it lies between 1 and 10\n"},
        {UPSTREAM("retry: {attempts: 2.5}"), "w:3:60: \"attempts\" cannot be \"2.5\": give a whole number\n"},
        {HEAD "limits: {max_body: infinite}" TAIL,
         "w:3:20: \"max_body\" cannot be \"infinite\": give a size, or unlimited\n"},
        {HEAD "limits: {max_body: 1000}" TAIL,
         "w:3:20: \"max_body\" cannot be \"1000\": a size needs its unit, such as 1000B, 1000KiB or 1000MB\n"},
        {HEAD "limits: {max_header_bytes: 1B}" TAIL,
         "w:3:28: \"max_header_bytes\" cannot be \"1B\": it lies between 1KiB and 48KiB\n"},
        {HEAD "workers: 0" TAIL,
         "w:3:10: \"workers\" cannot be \"0\": it lies between 1 and 256, or is auto\n"},
        {HEAD "workers: many" TAIL, "w:3:10: \"workers\" cannot be \"many\": give a whole number, or auto\n"},
        {"version: 2\nlisten: [':80']" TAIL, "w:1:10: \"version\" cannot be \"2\": it must be 1\n"},
        {LIMIT("rate: 5"), "w:4:32: \"rate\" cannot be \"5\": a rate needs its time, such as 5/s or 5/m\n"},
        {LIMIT("rate: 5/d"),
         "w:4:32: \"rate\" cannot be \"5/d\": give a rate such as 100/s, 5000/m or 7/h\n"},
        {LIMIT("burst: -6"), "w:4:33: \"burst\" cannot be \"-6\": it is at least -5\n"},
        {LIMIT("share: 4%"), "w:4:33: \"share\" cannot be \"4%\": it lies between 5% and 90%\n"},
        {LIMIT("memory: 9B"), "w:4:34: \"memory\" cannot be \"9B\": it is at least 10B\n"},
        {LIMIT("dry_run: yes"), "w:4:35: \"dry_run\" cannot be \"yes\": write true or false\n"},
        {LIMIT("dry_run: on"), "w:4:35: \"dry_run\" cannot be \"on\": write true or false\n"},
        {LIMIT("dry_run: True"), "w:4:35: \"dry_run\" cannot be \"True\": write true or false\n"},
        {LIMIT("except: [10.0.0.1/8]"),
         "w:4:35: an entry of \"except\" cannot be \"10.0.0.1/8\": the address has bits set behind the prefix: write the "
         "first address of the network, such as 10.0.0.0/8\n"},
        {HEAD "log: {level: trace}" TAIL,
         "w:3:14: \"level\" cannot be \"trace\": it is one of debug, info, warn, error\n"},
        {HEAD "log: {level: wran}" TAIL, "w:3:14: \"level\" cannot be \"wran\": did you mean \"warn\"?\n"},
        {HEAD "admin: {token_file: ''}" TAIL,
         "w:3:21: \"token_file\" cannot be \"\": give a text, or leave it out\n"},
        {HEAD "routes:\n- match: /\n  proxy: {upstream: u, strip_prefix: /12345678901234567890}\n",
         "w:5:21: there is no upstream \"u\": add it to `upstreams`\n"
         "w:5:38: \"strip_prefix\" cannot be \"/12345678901234567890\": it has at most 20 bytes\n"},
        {HEAD "routes:\n- match: /\n  respond: {headers: {A: 1, B: 2, C: 3, D: 4, E: 5}}\n",
         "w:5:22: \"headers\" has 5 entries: it holds at most 4\n"},
        {"version: 1\nlisten: ['8080']" TAIL,
         "w:2:10: \"addr\" cannot be \"8080\": give an address with its port, such as \":8080\", 127.0.0.1:8080, "
         "\"[::1]:8080\" or unix:/run/weir.sock\n"},
        {0},
    };
    check_said(cases);
}

TEST(references) {
    static const struct said_case cases[] = {
        {HEAD
         "upstreams: {orders: {endpoints: ['http://h']}}\nroutes:\n- match: /\n  proxy: {upstream: oders}\n",
         "w:6:21: there is no upstream \"oders\"; did you mean \"orders\"?\n"},
        {HEAD "routes:\n- match: /\n  proxy: {upstream: orders}\n",
         "w:5:21: there is no upstream \"orders\": add it to `upstreams`\n"},
        {ROUTE("path: /, listen: ':81'"),
         "w:4:28: no listener has the address :81: write one as in `listen` (:80)\n"},
        {ROUTE("path: /, listen: ':080'"), ""},
        {HEAD "use: [m]\nmiddleware: {n: {limit: {}}}" TAIL,
         "w:3:7: there is no middleware \"m\": add it to `middleware`, or name a kind of them\n"},
        {0},
    };
    check_said(cases);
}

TEST(contradictions) {
    static const struct said_case cases[] = {
        {UPSTREAM("pool: {max_connections: 5, max_idle: 6}"),
         "w:3:79: \"max_idle\" is larger than \"max_connections\" (5)\n"},
        {UPSTREAM("pool: {max_connections: 5, min_idle: 6}"),
         "w:3:79: \"min_idle\" is larger than \"max_idle\" (5)\n"},
        {UPSTREAM("pool: {max_connections: 5}"), ""},
        {HEAD "limits: {max_uri: 17KiB}" TAIL,
         "w:3:19: \"max_uri\" is larger than \"max_header_bytes\", which includes it\n"},
        {HEAD "limits: {max_header_bytes: 2KiB}" TAIL, ""},
        {HEAD "routes:\n- match: /\n  respond: {json: 1, body: x}\n",
         "w:5:12: \"json\" and \"body\" exclude each other\n"},
        {0},
    };
    check_said(cases);
}

TEST(paths_and_hosts) {
    static const struct said_case cases[] = {
        {ROUTE("path: '/a/{b}/c-d/{e_1}/*'"), ""},
        {ROUTE("path: '/*'"), ""},
        {ROUTE("path: /a/"), ""},
        {ROUTE("path: a"), "w:4:17: \"path\" cannot be \"a\": it begins with /\n"},
        {ROUTE("path: ''"), "w:4:17: \"path\" cannot be \"\": give a text, or leave it out\n"},
        {ROUTE("path: //"),
         "w:4:17: \"path\" cannot be \"//\": it holds no empty segment: write one / in place of //\n"},
        {ROUTE("path: /a//b"),
         "w:4:17: \"path\" cannot be \"/a//b\": it holds no empty segment: write one / in place of //\n"},
        {ROUTE("path: '/{}'"),
         "w:4:17: \"path\" cannot be \"/{}\": a parameter fills its segment, such as /orders/{id}/lines\n"},
        {ROUTE("path: '/{a'"),
         "w:4:17: \"path\" cannot be \"/{a\": a parameter fills its segment, such as /orders/{id}/lines\n"},
        {ROUTE("path: '/{a}.json'"),
         "w:4:17: \"path\" cannot be \"/{a}.json\": a parameter fills its segment, such as /orders/{id}/lines\n"},
        {ROUTE("path: '/x{a}'"),
         "w:4:17: \"path\" cannot be \"/x{a}\": a parameter fills its segment, such as /orders/{id}/lines\n"},
        {ROUTE("path: '/{1a}'"),
         "w:4:17: \"path\" cannot be \"/{1a}\": the name of a parameter has letters, digits and _, "
         "and begins with no digit\n"},
        {ROUTE("path: '/{a-b}'"),
         "w:4:17: \"path\" cannot be \"/{a-b}\": the name of a parameter has letters, digits and _, "
         "and begins with no digit\n"},
        {ROUTE("path: '/*/a'"),
         "w:4:17: \"path\" cannot be \"/*/a\": a * stands for the rest of the path, and is its last "
         "segment: /api/*\n"},
        {ROUTE("path: '/*/'"),
         "w:4:17: \"path\" cannot be \"/*/\": a * stands for the rest of the path, and is its last "
         "segment: /api/*\n"},
        {ROUTE("path: '/a*'"),
         "w:4:17: \"path\" cannot be \"/a*\": a * stands for the rest of the path, and is its last "
         "segment: /api/*\n"},
        {ROUTE("path: '/a?b=c'"),
         "w:4:17: \"path\" cannot be \"/a?b=c\": it is matched without query: take ? or # and what follows out\n"},
        {ROUTE("path: '/a/../b'"),
         "w:4:17: \"path\" cannot be \"/a/../b\": it holds no . or .. segment: such requests never reach a route\n"},
        {ROUTE("path: '/a b'"),
         "w:4:17: \"path\" cannot be \"/a b\": it holds no space, backslash or control character\n"},
        {ROUTE("path: '/%20'"),
         "w:4:17: \"path\" cannot be \"/%20\": write the character itself, not its % code\n"},
        {ROUTE("path: /, host: 'h:80'"),
         "w:4:26: \"host\" cannot be \"h:80\": give the host without port; `listen` in the "
         "match limits a route to a listener\n"},
        {ROUTE("path: a, host: 'h h'"),
         "w:4:17: \"path\" cannot be \"a\": it begins with /\n"
         "w:4:26: \"host\" cannot be \"h h\": give a host name such as api.example.com\n"},
        {ROUTE("path: /, methods: [get, 'G T', PROPFIND, M-SEARCH]"),
         "w:4:30: the method \"get\" cannot be: a method is a word in capitals, such as GET\n"
         "w:4:35: the method \"G T\" cannot be: a method is a word in capitals, such as GET\n"},
        {HEAD "routes:\n- match: /\n  respond: {headers: {X A: 1, X-B: \"a\\r\\nb\", X-C: ' a', ok: ''}}\n",
         "w:5:23: \"X A\" is not the name of a header: letters, digits and - make one\n"
         "w:5:36: the value of header \"X-B\" holds a line break or control character, or a space at its ends\n"
         "w:5:51: the value of header \"X-C\" holds a line break or control character, or a space at its ends\n"},
        {0},
    };
    check_said(cases);
}

TEST(not_built_yet) {
    static const struct said_case cases[] = {
        {HEAD "redis: {}" TAIL, "w:3:1: \"redis\" is not built yet: take it out\n"},
        {"version: 1\nlisten:\n- {addr: ':80', tls: {cert: a}, protocols: [h2, http/1.1, spdy]}" TAIL,
         "w:3:17: TLS is not built yet: take it out, and let something in front of weir end it\n"
         "w:3:45: an entry of \"protocols\" cannot be \"h2\": HTTP/2 is not built yet: use http/1.1\n"
         "w:3:59: an entry of \"protocols\" cannot be \"spdy\": it can only be http/1.1\n"},
        {UPSTREAM("balance: consistent_hash"),
         "w:3:16: `balance: consistent_hash` needs \"hash_on\", such as ip\n"},
        {UPSTREAM("hash_on: ip"), "w:3:16: \"hash_on\" is for `balance: consistent_hash` only\n"},
        {UPSTREAM("balance: consistent_hash, hash_on: 'header:a b'"),
         "w:3:77: \"hash_on\" cannot be \"header:a b\": give the name behind the colon, such as header:X-User\n"},
        {UPSTREAM("balance: consistent_hash, hash_on: user"),
         "w:3:77: \"hash_on\" cannot be \"user\": give one of ip, path, header:NAME, cookie:NAME, query:NAME\n"},
        {UPSTREAM("breaker: {}, health_check: {path: x, status: [2xx, 9xx, 300-200]}"),
         "w:3:69: \"path\" begins with /, and holds no space, as \"host\" does not\n"
         "w:3:93: an entry of \"status\" cannot be \"9xx\": give a status such as 200, a class such as 2xx, or a "
         "range such as 200-399\n"
         "w:3:98: an entry of \"status\" cannot be \"300-200\": give a status such as 200, a class such as 2xx, or a "
         "range such as 200-399\n"},
        {UPSTREAM("retry: {on: [reset, 503, 404, refused]}"),
         "w:3:67: an entry of \"on\" cannot be \"404\": give connect_failure, reset, timeout, bad_response, or a status: "
         "429, 500 to 599\n"
         "w:3:72: an entry of \"on\" cannot be \"refused\": give connect_failure, reset, timeout, bad_response, or a "
         "status: 429, 500 to 599\n"},
        {HEAD "upstreams: {u: {discover: {dns: {}}}}" TAIL,
         "w:3:28: a DNS discovery needs \"name\", such as name: orders.service.consul\n"},
        {HEAD "upstreams: {u: {discover: {}}}" TAIL,
         "w:3:27: \"discover\" names one of file, dns, zookeeper\n"},
        {UPSTREAM("discover: {file: /f}"), "w:3:28: \"endpoints\" and \"discover\" do not go together\n"},
        {HEAD "upstreams: {u: {endpoints: ['https://h']}}" TAIL,
         "w:3:29: \"url\" cannot be \"https://h\": TLS to upstreams is not built yet: use http://\n"},
        {HEAD
         "use: [rate_limit]\nmiddleware: {m: {api_key: {}}}\nroutes:\n- {match: /, aggregate: {}}\n- {match: /, query: "
         "{}}\n- {match: /, ingest: {}}\n",
         "w:3:7: the middleware \"rate_limit\" is not built yet: take it out\n"
         "w:4:18: \"api_key\" is not built yet: take it out\n"
         "w:6:14: the handler \"aggregate\" is not built yet\n"
         "w:7:14: the handler \"query\" is not built yet\n"
         "w:8:14: the handler \"ingest\" is not built yet\n"},
        {0},
    };
    check_said(cases);
}

TEST(secrets_are_not_shown) {
    static const struct said_case cases[] = {
        {LIMIT("secret: short"), "w:4:34: \"secret\" cannot be this value: it has at least 8 bytes\n"},
        {LIMIT("secret: [hunter2]"), "w:4:34: \"secret\" cannot be a list: give a text\n"},
        {LIMIT("rate: '${SECRET}'"),
         "w:4:32: \"rate\" cannot be \"${SECRET}\" (environment): give a rate such as 100/s, "
         "5000/m or 7/h\n"},
        {LIMIT("rate: '${PORT}'"),
         "w:4:32: \"rate\" cannot be \"${PORT}\" (environment): give a rate such as 100/s, "
         "5000/m or 7/h\n"},
        {HEAD "routes:\n- {match: /, proxy: {upstream: '${SECRET}'}}\n",
         "w:4:32: there is no upstream \"${SECRET}\" (environment): add it to `upstreams`\n"},
        {HEAD "use: ['${SECRET}']" TAIL,
         "w:3:7: there is no middleware \"${SECRET}\" (environment): add it to "
         "`middleware`, or name a kind of them\n"},
        {0},
    };
    check_said(cases);
}

TEST(all_of_them_at_once) {
    static const struct said_case cases[] = {
        {"version: 1\n"
         "wrokers: 4\n"
         "listen:\n"
         "  - addr: 80\n"
         "  - {addr: ':81', backlog: 0}\n"
         "limits: {max_body: 5, max_uri: 1TB}\n"
         "limits: {}\n"
         "upstreams:\n"
         "  a: {endpoints: [x], timeout: *t}\n"
         "routes:\n"
         "  - {match: {path: x}, respond: {status: 99, headers: {'': 1}}}\n"
         "  - {match: {path: '/${NONE}'}, proxy: {upstream: b}}\n",
         "w:2:1: unknown option \"wrokers\" of the config; did you mean \"workers\"?\n"
         "w:4:11: \"addr\" cannot be \"80\": give an address with its port, such as \":8080\", 127.0.0.1:8080, "
         "\"[::1]:8080\" or unix:/run/weir.sock\n"
         "w:5:28: \"backlog\" cannot be \"0\": it lies between 1 and 65535\n"
         "w:6:20: \"max_body\" cannot be \"5\": a size needs its unit, such as 5B, 5KiB or 5MB\n"
         "w:6:32: \"max_uri\" cannot be \"1TB\": give a size with its unit, such as 16KiB (16384 bytes) or 10MB (B, KB, KiB, "
         "MB, MiB, GB, GiB)\n"
         "w:7:1: \"limits\" is given twice; the first one is in line 6\n"
         "w:9:19: \"url\" cannot be \"x\": give a URL such as http://127.0.0.1:9001 or unix:/run/app.sock\n"
         "w:9:32: aliases (*name) are not supported: write the value out, in quotes if it begins with *\n"
         "w:11:20: \"path\" cannot be \"x\": it begins with /\n"
         "w:11:42: \"status\" cannot be \"99\": it lies between 100 and 599\n"
         "w:11:56: a name must stand before the colon\n"
         "w:12:20: the environment variable NONE is not set: set it, or give a default as ${NONE:-default}\n"
         "w:12:51: there is no upstream \"b\": add it to `upstreams`\n"},
        {0},
    };
    check_said(cases);
}

/* The list keeps a hundred, and counts the rest. */
TEST(too_many) {
    struct b_text text = b_text_heap(B_TAG_TEST, 65536);
    struct loaded l;
    b_text_lit(&text, HEAD "upstreams:\n");
    for (unsigned i = 0; i < 150; i++)
        b_text_printf(&text, "  u%u: {endpoints: [\"http://h\"], x%u: 1}\n", i, i);
    b_text_lit(&text, "routes: [{match: /, respond: hi}]\n");
    b_text_char(&text, 0);
    load_text(&l, text.ptr);
    CHECK_UINT(l.errors.count, 100);
    CHECK_UINT(l.errors.errors, 150);
    CHECK(strstr(l.said, "w:103:") && !strstr(l.said, "w:104:") && strstr(l.said, "\nand 50 more errors\n"));
    unload(&l);
    b_text_free(&text);
}

const struct test_case wrong_tests[] = {
    {"unknown_names", unknown_names},
    {"missing", missing},
    {"twice", twice},
    {"wrong_types", wrong_types},
    {"units_and_ranges", units_and_ranges},
    {"references", references},
    {"contradictions", contradictions},
    {"paths_and_hosts", paths_and_hosts},
    {"not_built_yet", not_built_yet},
    {"secrets_are_not_shown", secrets_are_not_shown},
    {"all_of_them_at_once", all_of_them_at_once},
    {"too_many", too_many},
    {0},
};
