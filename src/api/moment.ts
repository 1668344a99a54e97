import * as v from 'valibot'

const UNIX_SECONDS = /^\d{1,10}(?:\.\d{1,3})?$/
const UNIX_MILLISECONDS = /^\d{13}$/
const ISO_DATE = /^\d{4}-\d{2}-\d{2}$/
const ISO_TIME = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}(?::\d{2}(?:\.\d{1,9})?)?(?:Z|[+ -]\d{2}:?\d{2})$/i
const ISO_TIME_WITHOUT_ZONE = /^\d{4}-\d{2}-\d{2}T[\d:.]+$/i

const WORDS =
  'ISO 8601 with a zone (2026-01-31T08:00:00Z), a date (2026-01-31, midnight UTC) or unix seconds (1769846400)'

/**
 * Text to milliseconds since 1970: ISO 8601 with a zone, a date, or unix seconds. A local time is refused, since nobody knows whose
 * it is, and so are milliseconds. Answers words when it cannot be used.
 */
export function parseMoment(text: string): number | string {
  if (UNIX_SECONDS.test(text)) return Math.round(Number(text) * 1000)
  if (UNIX_MILLISECONDS.test(text)) return `looks like milliseconds; expected ${WORDS}`
  if (ISO_TIME_WITHOUT_ZONE.test(text)) return `needs a zone, such as Z or +02:00; expected ${WORDS}`
  if (!ISO_DATE.test(text) && !ISO_TIME.test(text)) return `is not a time; expected ${WORDS}`
  // A `+` that was not escaped in a query string has become a space.
  const ms = Date.parse(text.replace(' ', '+'))
  return Number.isNaN(ms) || !isOnCalendar(text) ? `is not on the calendar; expected ${WORDS}` : ms
}

// Date.parse turns 2026-02-30 into 2 March.
function isOnCalendar(text: string): boolean {
  const [year, month, day] = text.slice(0, 10).split('-').map(Number)
  return new Date(Date.UTC(year ?? 0, (month ?? 0) - 1, day)).getUTCDate() === day
}

/** A moment in a query string, as milliseconds. */
export const moment = (description: string) =>
  v.pipe(
    v.string('is given twice'),
    v.description(`${description} ${WORDS}.`),
    v.metadata({ examples: ['2026-01-31T08:00:00Z', '1769846400'] }),
    v.rawTransform<string, number>(({ dataset, addIssue, NEVER }) => {
      const ms = parseMoment(dataset.value)
      if (typeof ms === 'number') return ms
      addIssue({ message: ms })
      return NEVER
    }),
  )
