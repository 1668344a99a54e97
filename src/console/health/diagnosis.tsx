import { useSignal } from '@preact/signals'
import { useEffect, useRef } from 'preact/hooks'
import type { AuditPage, Config, GapsPage, OtherPage, ParkedGroups, Queues, Relays } from '../../client/index.ts'
import { Dialog } from '../focus.tsx'
import { formatSpan } from '../format.ts'

/** Copies the diagnosis, and shows the copied text, so that the user can see that it contains no personal data. */
export function DiagnosisDialog({ text, onClose }: { readonly text: string; readonly onClose: () => void }) {
  const field = useRef<HTMLTextAreaElement>(null)
  const isCopied = useSignal<boolean | undefined>(undefined)
  const copy = async () => {
    try {
      // Browsers offer no clipboard to pages without TLS.
      await navigator.clipboard.writeText(text)
      isCopied.value = true
    } catch {
      field.current?.select()
      isCopied.value = false
    }
  }
  useEffect(() => void copy(), [])
  return (
    <Dialog title="Diagnosis for a ticket" isWide onClose={onClose}>
      <p role="status" class={isCopied.value === true ? 'good' : ''}>
        {isCopied.value === true
          ? 'Copied. This is the text:'
          : isCopied.value === false
            ? 'The browser did not allow the console to copy. The text is selected: press Ctrl+C or ⌘C.'
            : 'Copying …'}
      </p>
      <textarea ref={field} class="diagnosis" aria-label="Diagnosis" readOnly rows={18} value={text} />
      <div class="actions">
        <button onClick={() => void copy()}>Copy again</button>
        <button class="second" onClick={onClose}>
          Close
        </button>
      </div>
    </Dialog>
  )
}

/** The answers that the page has read. undefined: the request failed. */
export type Findings = {
  readonly nowMs: number
  /** The version in the API's OpenAPI document. */
  readonly apiVersion: string | undefined
  readonly browser: string
  readonly config: Config
  readonly relays: Relays | undefined
  readonly queues: Queues | undefined
  readonly parked: ParkedGroups | undefined
  readonly gaps: GapsPage | undefined
  readonly other: OtherPage | undefined
  readonly audit: AuditPage | undefined
}

/** Lines of each list, so that people can read the ticket. */
const MAX_LINES = 20

/** Matches digits of the length of a phone number, in any notation. The answers are masked already; this catches numbers in other fields. */
const LIKE_NUMBER = /\+?\d(?:[ ()./-]{0,2}\d){6,}/g

/** Returns a text from outside the console on one line, without anything that may be a phone number. */
const clean = (text: string): string => text.replace(LIKE_NUMBER, '#').replace(/\s+/g, ' ').slice(0, 200)

/** Formats the state of the system for a ticket, as plain text without personal data. */
export function formatDiagnosis(findings: Findings): string {
  const { nowMs, apiVersion, browser, config, relays, queues, parked, gaps, other, audit } = findings
  const age = (iso: string) => formatSpan(nowMs - Date.parse(iso))
  const section = <Item,>(title: string, items: readonly Item[] | undefined, line: (item: Item) => string) => {
    const lines = items?.slice(0, MAX_LINES).map((item) => `- ${line(item)}`) ?? ['- could not be read']
    const more = (items?.length ?? 0) - MAX_LINES
    return ['', title, ...(lines.length === 0 ? ['- none'] : lines), ...(more > 0 ? [`- and ${more} more`] : [])]
  }
  const held = queues?.items.filter(({ waiting, in_flight }) => waiting !== 0 || in_flight !== 0)
  return [
    `enigma-relay diagnosis, ${new Date(nowMs).toISOString()}`,
    `API ${apiVersion ?? 'of an unknown version'}; role ${config.role}; changes ${config.events === null ? 'polled' : 'streamed'}; replays ${config.replays ? 'on' : 'off'}`,
    `Browser: ${browser}`,
    ...section(
      'Relays',
      relays?.items,
      ({ relay, sources, ready_at, started_at }) =>
        `${clean(relay)} (${sources.map(clean).join(', ')}): ready ${age(ready_at)} ago, started ${age(started_at)} ago`,
    ),
    ...section(
      'Queues that hold messages',
      held,
      ({ queue, waiting, in_flight }) =>
        `${clean(queue)}: ${waiting === null ? 'missing' : `${waiting} waiting, ${in_flight ?? 0} in flight`}`,
    ),
    ...section(
      'Parked by cause',
      parked?.groups,
      ({ count, route, from, status, cause, first, last }) =>
        `${count} of ${clean(route)} by ${from}${status === null ? '' : `, status ${status}`}: ${clean(cause)} (first ${age(first)} ago, last ${age(last)} ago)`,
    ),
    ...section(
      'Gaps, newest first',
      gaps?.items,
      ({ source, relay, from, to, cause, lost }) =>
        `${from} for ${formatSpan(Date.parse(to) - Date.parse(from))}: ${clean(cause)}, source ${clean(source)}, relay ${clean(relay)}${lost === null ? '' : `, ${lost} discarded`}`,
    ),
    ...section(
      'Notifications without a route',
      other === undefined ? undefined : Object.entries(other.counts),
      ([type, count]) => `${clean(type)}: ${count}`,
    ),
    // The subject of an action is left out, because its filter may contain personal data.
    ...section(
      'Last actions of operators',
      audit?.items,
      ({ at, operator, action, count }) =>
        `${at} ${clean(operator)}: ${clean(action)}${count === null ? '' : `, ${count}`}`,
    ),
    '',
  ].join('\n')
}
