// node's pg and postgres by the contract:
//
//   node peer.mjs pg|postgres WORKLOAD DSN CONNECTIONS TASKS SECONDS [THREADS]
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const [library, workload, dsn, connections, tasks, seconds, threads = "1"] = process.argv.slice(2);
const require = createRequire(`${process.env.BENCH_MODULES}/`);
const known = { pg: ["select", "transaction"], postgres: ["select", "transaction", "multiplexed", "stream"] };
if (threads !== "1" || !known[library].includes(workload)) process.exit(3);
const tls = dsn.includes("sslmode=require");
const address = dsn.replace(/\?.*/, "");

function keys(seed) {
    let state = (seed % 2147483646) + 1;
    return () => {
        state = (state * 48271) % 2147483647;
        return (state % 100000) + 1;
    };
}

async function openPg() {
    const { Pool, types } = require("pg");
    types.setTypeParser(20, Number);
    const pool = new Pool({ connectionString: address, max: Number(connections), ssl: tls && { rejectUnauthorized: false } });
    const select = "SELECT name, balance FROM account WHERE id = $1";
    return {
        async select(key) {
            const { rows } = await pool.query({ name: "s", text: select, values: [key] });
            return rows[0].balance + rows[0].name.length;
        },
        async transaction(own) {
            const one = await pool.connect();
            try {
                await one.query("BEGIN");
                await one.query({ name: "u", text: "UPDATE account SET seen = seen + 1 WHERE id = $1", values: [own] });
                await one.query({ name: "s", text: select, values: [own] });
                await one.query("COMMIT");
            } finally {
                one.release();
            }
        },
        end: () => pool.end(),
    };
}

async function openPostgres() {
    const postgres = require("postgres");
    // Statements are pipelined on a connection once all of them are busy, `max_pipeline` on each.
    const inFlight = Math.max(100, Math.ceil(Number(tasks) / Number(connections)));
    const sql = postgres(address, {
        max: Number(connections), ssl: tls && { rejectUnauthorized: false },
        max_pipeline: workload === "multiplexed" ? inFlight : 1,
        types: { bigint: { to: 20, from: [20], parse: Number, serialize: String } },
    });
    return {
        async select(key) {
            const [row] = await sql`SELECT name, balance FROM account WHERE id = ${key}`;
            return row.balance + row.name.length;
        },
        async transaction(own) {
            await sql.begin(async (open) => {
                await open`UPDATE account SET seen = seen + 1 WHERE id = ${own}`;
                await open`SELECT name, balance FROM account WHERE id = ${own}`;
            });
        },
        async stream() {
            let total = 0;
            await sql`SELECT id, label, amount FROM entry`.cursor(1000, (rows) => {
                for (const row of rows) total += row.id + row.label.length + Math.trunc(row.amount * 2);
            });
            return total;
        },
        end: () => sql.end(),
    };
}

const peer = library === "pg" ? await openPg() : await openPostgres();
let sum = 0;
const first = keys(12345);
for (let i = 0; i < Number(process.env.BENCH_FIRST ?? 1000); ++i) sum += await peer.select(first());
// Both open a connection once all others are busy.
await Promise.all(Array.from({ length: Number(connections) }, () => peer.select(1)));

const times = [];
let count = 0;
const used = process.cpuUsage();
const began = performance.now();
const until = began + Number(seconds) * 1000;
async function task(number) {
    const key = keys(number);
    for (let now = performance.now(); now < until; ) {
        if (workload === "transaction") await peer.transaction(number + 1);
        else await peer.select(key());
        const then = performance.now();
        times.push((then - now) * 1000);
        now = then;
    }
}
if (workload === "stream") {
    do {
        const now = performance.now();
        sum = await peer.stream();
        times.push((performance.now() - now) * 1000);
        count += 1000000;
    } while (performance.now() < until);
} else {
    await Promise.all(Array.from({ length: Number(tasks) }, (_, number) => task(number)));
    count = times.length;
}
const took = (performance.now() - began) / 1000;
const after = process.cpuUsage(used);
const peak = Number(/VmHWM:\s*(\d+)/.exec(readFileSync("/proc/self/status", "utf8"))[1]);
times.sort((a, b) => a - b);
const at = (share) => times[Math.min(Math.floor(share * times.length), times.length - 1)] ?? 0;
console.log(JSON.stringify({
    operations: count, seconds: took, cpu: (after.user + after.system) / 1e6,
    p50: at(0.5), p90: at(0.9), p99: at(0.99), p999: at(0.999), errors: 0, sum, peak,
}));
await peer.end();
