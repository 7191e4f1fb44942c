// The service of beast.cpp on node's http, and postgres or pg:
//
//   node service.mjs postgres|pg DSN CONNECTIONS     prints its port
import { createServer } from "node:http";
import { createRequire } from "node:module";

const require = createRequire(`${process.env.BENCH_MODULES}/`);
const [library, dsn, connections] = process.argv.slice(2);
const address = dsn.replace(/\?.*/, "");

function withPostgres() {
    const sql = require("postgres")(address, {
        max: Number(connections),
        types: { bigint: { to: 20, from: [20], parse: Number, serialize: String } },
    });
    return {
        update: async (id) => (await sql`UPDATE account SET seen = seen + 1 WHERE id = ${id}`).count,
        twenty: (id) => sql`SELECT id, name, balance FROM account WHERE id >= ${id} ORDER BY id LIMIT 20`,
        one: async (id) => (await sql`SELECT id, name, balance FROM account WHERE id = ${id}`)[0],
    };
}

function withPg() {
    const { Pool, types } = require("pg");
    types.setTypeParser(20, Number);
    const pool = new Pool({ connectionString: address, max: Number(connections) });
    const ask = (name, text) => (id) => pool.query({ name, text, values: [id] });
    const update = ask("update", "UPDATE account SET seen = seen + 1 WHERE id = $1");
    const twenty = ask("twenty", "SELECT id, name, balance FROM account WHERE id >= $1 ORDER BY id LIMIT 20");
    const one = ask("one", "SELECT id, name, balance FROM account WHERE id = $1");
    return {
        update: async (id) => (await update(id)).rowCount,
        twenty: async (id) => (await twenty(id)).rows,
        one: async (id) => (await one(id)).rows[0],
    };
}

const accounts = library === "pg" ? withPg() : withPostgres();

async function answer(method, path) {
    const id = Number(path.slice(path.lastIndexOf("/") + 1));
    if (method === "POST") return { changed: await accounts.update(id) };
    return path.startsWith("/accounts/") ? accounts.twenty(id) : accounts.one(id);
}

createServer(async (request, response) => {
    const body = JSON.stringify(await answer(request.method, request.url));
    response.writeHead(200, { "Content-Type": "application/json", "Content-Length": Buffer.byteLength(body) });
    response.end(body);
}).listen(0, "127.0.0.1", function () {
    console.log(this.address().port);
});
