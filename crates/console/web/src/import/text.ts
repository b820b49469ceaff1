// Texts of other systems.

const NAMED: Record<string, string> = { amp: '&', lt: '<', gt: '>', quot: '"', apos: "'", nbsp: ' ' }
const BREAKS = /<\/?(?:br|p|div|li|ul|ol|tr|table|h[1-6]|section|blockquote)(?:\s[^>]*)?\/?>/gi
const TAG = /<\/?[a-z][^>]*>/i

/** The text of HTML; a text without tags only gets its character references replaced. */
export function textOfHtml(html: string): string {
  if (!TAG.test(html)) return references(html)
  const text = html
    .replace(/<!--[\s\S]*?-->|<(script|style)\b[\s\S]*?<\/\1\s*>/gi, '')
    .replace(/\s+/g, ' ')
    .replace(BREAKS, '\n')
    .replace(/<\/?[a-z][^>]*>/gi, '')
  const lines = references(text)
    .split('\n')
    .map((line) => line.trim())
  return lines.filter(Boolean).join('\n')
}

function references(text: string): string {
  return text.replace(
    /&(?:#x([0-9a-f]+)|#(\d+)|(\w+));/gi,
    (whole, hexadecimal?: string, decimal?: string, name?: string) => {
      if (name) return NAMED[name] ?? whole
      const code = hexadecimal ? parseInt(hexadecimal, 16) : Number(decimal)
      return code > 0 && code <= 0x10ffff ? String.fromCodePoint(code) : whole
    },
  )
}

/** The first 47 characters of the group, and a hash of the group and the options: the same for the same product. */
export async function derivedSku(group: string, options: Record<string, string> = {}): Promise<string> {
  const sorted = Object.entries(options).sort(([left], [right]) => (left < right ? -1 : 1))
  const source = group + sorted.map(([name, value]) => `\u001f${name}\u001f${value}`).join('')
  const hash = new Uint8Array(await crypto.subtle.digest('SHA-256', new TextEncoder().encode(source)))
  const digits = Array.from(hash.slice(0, 8), (byte) => byte.toString(16).padStart(2, '0')).join('')
  return `${[...group].slice(0, 47).join('')}-${digits}`
}
