// Reads a Parquet file with two foreign readers and prints what each of them found, a line of JSON
// each: node read_parquet.mjs FILE, with both packages installed where this script stands.
import { asyncBufferFromFile, parquetMetadataAsync, parquetReadObjects } from 'hyparquet'
import { DuckDBInstance } from '@duckdb/node-api'

const path = process.argv[2]

// Values JSON has no form for are written as texts.
function plain(value) {
  if (value === undefined || value === null) return null
  if (typeof value === 'bigint') return value.toString()
  if (value instanceof Date) return value.toISOString()
  if (value instanceof Uint8Array) return Buffer.from(value).toString('hex')
  if (typeof value === 'number' && !Number.isFinite(value)) return String(value)
  return value
}

const file = await asyncBufferFromFile(path)
const metadata = await parquetMetadataAsync(file)
const objects = await parquetReadObjects({ file })
console.log(JSON.stringify({
  rows: Number(metadata.num_rows),
  groups: metadata.row_groups.length,
  columns: metadata.schema.slice(1).map(column =>
    `${column.name} ${column.type} ${column.logical_type?.type ?? ''}`.trim()),
  first: objects.slice(0, 3).map(row => Object.values(row).map(plain)),
}))

const connection = await (await DuckDBInstance.create()).connect()
const source = `read_parquet('${path}')`
const described = await connection.runAndReadAll(`DESCRIBE SELECT * FROM ${source}`)
const count = await connection.runAndReadAll(`SELECT count(*)::VARCHAR FROM ${source}`)
const rows = await connection.runAndReadAll(`SELECT COLUMNS(*)::VARCHAR FROM ${source} LIMIT 3`)
const last = await connection.runAndReadAll(
  `SELECT max(COLUMNS(*))::VARCHAR FROM ${source}`)
console.log(JSON.stringify({
  rows: Number(count.getRows()[0][0]),
  columns: described.getRows().map(row => `${row[0]} ${row[1]}`),
  first: rows.getRows(),
  most: last.getRows()[0],
}))
