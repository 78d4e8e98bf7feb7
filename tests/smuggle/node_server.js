// node's HTTP parser (llhttp) as a peer: answers with what it has read of a request.
'use strict';
const http = require('http');

// CRC-32, which older versions of node do not offer
const table = Array.from({length: 256}, (_, n) => {
    for (let k = 0; k < 8; k++) n = n & 1 ? 0xedb88320 ^ (n >>> 1) : n >>> 1;
    return n >>> 0;
});
function crc32(data) {
    let crc = 0xffffffff;
    for (const byte of data) crc = table[(crc ^ byte) & 0xff] ^ (crc >>> 8);
    return ((crc ^ 0xffffffff) >>> 0).toString(16).padStart(8, '0');
}

const server = http.createServer({keepAliveTimeout: 60000, requestTimeout: 0, maxHeaderSize: 65536}, (request, response) => {
    const parts = [];
    request.on('data', (part) => parts.push(part));
    request.on('end', () => {
        const body = Buffer.concat(parts);
        const seen = `0 - ${request.method} ${request.url} ${body.length} ${crc32(body)}`;
        response.setHeader('X-Seen', seen);
        response.setHeader('Content-Length', Buffer.byteLength(seen));
        response.end(seen);
    });
});
server.maxHeadersCount = 0;
server.listen(Number(process.argv[2]), '127.0.0.1');
