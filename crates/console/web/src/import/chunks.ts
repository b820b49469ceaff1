import type { ParsedRow } from './products'

/** Limits of a call of the API. */
const ROWS_MAX = 100
/** Below its limit of 1 MiB, as the body has members beside the rows. */
const BYTES_MAX = 1_000_000

/** The rows in their order, as many in a call as it takes. */
export function chunksOf(rows: ParsedRow[]): ParsedRow[][] {
  const encoder = new TextEncoder()
  const chunks: ParsedRow[][] = []
  let bytes = 0
  for (const row of rows) {
    const length = encoder.encode(JSON.stringify(row.row)).length + 1
    const last = chunks.at(-1)
    if (last && last.length < ROWS_MAX && bytes + length <= BYTES_MAX) {
      last.push(row)
      bytes += length
    } else {
      chunks.push([row])
      bytes = length
    }
  }
  return chunks
}
