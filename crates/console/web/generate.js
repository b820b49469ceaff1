// Writes the types of the API from the snapshot of its document, which a test of the server compares with its handlers.
import { readFile, writeFile } from 'node:fs/promises'
import openapiTS, { astToString } from 'openapi-typescript'

const snapshot = new URL(
  '../../app/src/http/snapshots/jangteo__http__tests__the_document_matches_its_snapshot.snap',
  import.meta.url,
)
const text = await readFile(snapshot, 'utf8')
// The head of a snapshot ends with the second line of dashes.
const document = JSON.parse(text.slice(text.indexOf('\n---\n') + 5))
await writeFile(new URL('src/api/document.d.ts', import.meta.url), astToString(await openapiTS(document)))
