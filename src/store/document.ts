/** A control character, which no JSON text holds unescaped, separates the parts of a value … */
export const SEPARATOR = '\u001f'
/** … the entries of a value that is a list … */
export const ENTRY_SEPARATOR = '\u001e'
/** … and the fields of a document: name, value, name, value … */
export const FIELD_SEPARATOR = '\u001d'

/** The fields of a document; empty where there is none. As `open` of `lua/documents.lua` reads it. */
export function parseDocument(text: unknown): Map<string, string> {
  const fields = new Map<string, string>()
  if (typeof text !== 'string') return fields
  const parts = text.split(FIELD_SEPARATOR)
  for (let at = 0; at + 1 < parts.length; at += 2) fields.set(parts[at] as string, parts[at + 1] as string)
  return fields
}

/** The entries of a list that is one text. */
export const parseEntries = (text: unknown): string[] =>
  typeof text === 'string' && text !== '' ? text.split(ENTRY_SEPARATOR) : []
