// Uses a PostgreSQL server through node-postgres, and prints what a program sees, a line each, as
// use_postgres.py does.
import { readFileSync } from 'node:fs'
import pg from 'pg'

const sleeper = 'SELECT pg_sleep(50)'
const active =
  `SELECT count(*)::int AS n FROM pg_stat_activity
    WHERE datname = current_database() AND state = 'active' AND query = '${sleeper}'`
const trusting = file => ({ ca: readFileSync(process.env[file]), rejectUnauthorized: true })

async function connect(other = {}) {
  const client = new pg.Client({ ssl: trusting('PGSSLROOTCERT'), ...other })
  client.ended = new Promise(resolve => client.on('error', resolve))
  await client.connect()
  return client
}
async function refusal(other) {
  try {
    await (await connect(other)).end()
    return 'none'
  } catch (failure) {
    return failure.code
  }
}
const first = async (client, sql) => Object.values((await client.query(sql)).rows[0])[0]

const visit = await connect()
console.log('query', await first(visit, 'SELECT 6 * 7'))
await visit.end()
console.log('wrong key', await refusal({ password: 'v2_wrong' }))
console.log('unknown database', await refusal({ database: 'local/none' }))
console.log('no TLS', await refusal({ ssl: false }))
// Which of the two depends on whether the server sends its authority along.
const untrusted = ['UNABLE_TO_VERIFY_LEAF_SIGNATURE', 'SELF_SIGNED_CERT_IN_CHAIN']
console.log('untrusted', untrusted.includes(await refusal({ ssl: trusting('STRANGER') })))

const session = await connect()
const query = new pg.Query(sleeper)
const failed = new Promise(resolve => query.on('error', resolve))
session.query(query)
const observer = await connect()
while (await first(observer, active) === 0);
new pg.Client({}).cancel(session, query)
console.log('cancelled', (await failed).code, await first(session, "SELECT 'and well'"))
await observer.end()

console.log('idle', (await session.ended).code)

console.log('now sleep')
for await (const _ of process.stdin);
const woken = await connect()
console.log('woken', await first(woken, 'SELECT 6 * 7'))
await woken.end()
