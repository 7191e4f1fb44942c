// The service of beast.cpp on node's http and postgres.
import { createServer } from "node:http";
import { createRequire } from "node:module";

const require = createRequire(`${process.env.BENCH_MODULES}/`);
const postgres = require("postgres");
const sql = postgres(process.argv[2].replace(/\?.*/, ""), {
    max: Number(process.argv[3]),
    types: { bigint: { to: 20, from: [20], parse: Number, serialize: String } },
});

async function answer(method, path) {
    const id = Number(path.slice(path.lastIndexOf("/") + 1));
    if (method === "POST") {
        const { count } = await sql`UPDATE account SET seen = seen + 1 WHERE id = ${id}`;
        return { changed: count };
    }
    if (path.startsWith("/accounts/")) {
        return sql`SELECT id, name, balance FROM account WHERE id >= ${id} ORDER BY id LIMIT 20`;
    }
    const [one] = await sql`SELECT id, name, balance FROM account WHERE id = ${id}`;
    return one;
}

createServer(async (request, response) => {
    const body = JSON.stringify(await answer(request.method, request.url));
    response.writeHead(200, { "Content-Type": "application/json", "Content-Length": Buffer.byteLength(body) });
    response.end(body);
}).listen(0, "127.0.0.1", function () {
    console.log(this.address().port);
});
