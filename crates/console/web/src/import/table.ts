// A CSV file as a table: encoding, separator, header and rows of cells. The rules are those of tests/golden/import.

export interface Row {
  /** The line of the file where the row begins, from 1. */
  line: number
  cells: string[]
}

export interface Table {
  encoding: 'UTF-8' | 'EUC-KR'
  headers: string[]
  rows: Row[]
}

/** Throws where the bytes are text in neither encoding. */
export function readTable(bytes: Uint8Array): Table {
  const { encoding, text } = decode(bytes)
  const filled = [...records(text, separatorOf(text))].filter(({ cells }) => cells.some((cell) => cell !== ''))
  return { encoding, headers: filled[0]?.cells ?? [], rows: filled.slice(1) }
}

/** UTF-8 where it is valid, else the encoding of Korean spreadsheets, which browsers name EUC-KR and read as CP949. */
function decode(bytes: Uint8Array): { encoding: Table['encoding']; text: string } {
  try {
    return { encoding: 'UTF-8', text: new TextDecoder('utf-8', { fatal: true }).decode(bytes) }
  } catch {
    return { encoding: 'EUC-KR', text: new TextDecoder('euc-kr', { fatal: true }).decode(bytes) }
  }
}

/** The most frequent one in the first line, outside of quotes. */
function separatorOf(text: string): string {
  const counts = { ',': 0, ';': 0, '\t': 0 }
  let isQuoted = false
  for (const character of text) {
    if (character === '"') isQuoted = !isQuoted
    if (isQuoted) continue
    if (character === '\n' || character === '\r') break
    if (character in counts) counts[character as keyof typeof counts] += 1
  }
  return Object.entries(counts).reduce((best, next) => (next[1] > best[1] ? next : best))[0]
}

function* records(text: string, separator: string): Generator<Row> {
  let [line, position] = [1, 0]
  while (position < text.length) {
    const row: Row = { line, cells: [] }
    for (;;) {
      const cell = readCell(text, position, separator)
      row.cells.push(clean(cell.text))
      line += cell.lines
      position = cell.end
      if (text[position] !== separator) break
      position += 1
    }
    if (text.startsWith('\r\n', position)) position += 2
    else position += 1
    line += 1
    yield row
  }
}

/** The cell at `start`; `end` is the separator or line break behind it. */
function readCell(text: string, start: number, separator: string): { text: string; end: number; lines: number } {
  const isEnd = (character: string | undefined) =>
    character === undefined || character === separator || character === '\n' || character === '\r'
  let end = start
  let content = ''
  if (text[start] === '"') {
    end = start + 1
    for (; end < text.length; end += 1) {
      if (text[end] !== '"') content += text[end]
      else if (text[end + 1] === '"') content += text[(end += 1)]
      else break
    }
    end += 1
  }
  // Text behind a closing quote belongs to the cell.
  const rest = end
  while (!isEnd(text[end])) end += 1
  content += text.slice(rest, end)
  return { text: content, end: Math.min(end, text.length), lines: content.split(/\r\n|\r|\n/).length - 1 }
}

/** Without the apostrophe by which a spreadsheet does not run the cell as a formula. */
function clean(cell: string): string {
  const text = cell.replace(/\r\n/g, '\n').trim().normalize('NFC')
  return /^'[=+\-@\t\r']/.test(text) ? text.slice(1) : text
}
