/** CSV as RFC 4180 has it, safe to open in a spreadsheet. */

/** Excel takes a file without it for one in an old character set. */
export const BYTE_ORDER_MARK = '\ufeff'

/**
 * What a spreadsheet runs as a formula begins with one of these, in ASCII or in full width. Source: "CSV Injection" of OWASP,
 * https://owasp.org/www-community/attacks/CSV_Injection
 */
const FORMULA = /^\s*[=+\-@\uff1d\uff0b\uff0d\uff20]|^[\t\r\n]/

/** A cell: a number as it is; text in quotes, behind an apostrophe where it would be a formula. */
export function formatCell(value: unknown): string {
  if (value === null || value === undefined) return ''
  if (typeof value === 'number' || typeof value === 'boolean') return String(value)
  const text = typeof value === 'string' ? value : JSON.stringify(value)
  return `"${(FORMULA.test(text) ? `'${text}` : text).replaceAll('"', '""')}"`
}

export const formatLine = (cells: readonly unknown[]): string => `${cells.map(formatCell).join(',')}\r\n`
