import { useSignal } from '@preact/signals'
import type { ApiProblem, ParkedDetail } from '../../client/index.ts'
import { Dialog } from '../focus.tsx'
import { download, formatBytes, formatCount, formatSpan, formatTime } from '../format.ts'
import { addressOf, setFilters } from '../location.tsx'
import { Loaded, Problem, useResource } from '../resource.tsx'
import { mayOperate, type Session } from '../session.ts'
import type { Selected } from './parked-messages.ts'
import { TimeLeft, RelayTag } from './parked-views.tsx'

export type ParkedEntryProps = {
  readonly session: Session
  readonly id: string
  readonly onAsk: (action: 'replay' | 'delete', selected: Selected) => void
}

/** Shows a parked message: its facts, its failed attempts, its content, and its lane. */
export function ParkedEntry({ session, id, onAsk }: ParkedEntryProps) {
  const entry = useResource((signal) => session.client.parkedEntry(id, { signal }), [session, id], {
    refreshOn: ({ type, ref }) => type === 'parked' && ref === id,
  })
  return (
    <Dialog title="Parked message" isWide onClose={() => setFilters({ id: '' })}>
      <Loaded resource={entry}>
        {(detail) => (
          <>
            {mayOperate.value && (
              <div class="actions">
                <button onClick={() => onAsk('replay', { entries: [detail] })}>Replay</button>
                <button class="danger" onClick={() => onAsk('delete', { entries: [detail] })}>
                  Delete
                </button>
              </div>
            )}
            <Facts entry={detail} />
            <Attempts attempts={detail.failed_attempts} />
            <ParkedContent session={session} entry={detail} />
            <Lane id={id} lane={detail.lane} />
          </>
        )}
      </Loaded>
    </Dialog>
  )
}

function Facts({ entry }: { readonly entry: ParkedDetail }) {
  const received = Date.parse(entry.received_at ?? '')
  const facts = [
    ['Reason', entry.reason],
    ['Details', entry.detail],
    ['Status', entry.status],
    ['Route', entry.from === 'relay' ? [entry.route, ' ', <RelayTag />] : entry.route],
    ['Type', entry.type],
    ['Reference', entry.subject],
    ['Handler', entry.handler],
    ['Source', entry.source],
    ['Notification', entry.notification_ids.join(', ') || null],
    ['SQS message', entry.message_id],
    ['Deliveries', entry.attempts],
    ['Received', entry.received_at && formatTime(entry.received_at)],
    ['First delivered', entry.first_attempt_at && formatTime(entry.first_attempt_at)],
    [
      'Parked',
      `${formatTime(entry.parked_at)}${Number.isNaN(received) ? '' : ` (${formatSpan(Date.parse(entry.parked_at) - received)} after it was received)`}`,
    ],
    ['Expires in', <TimeLeft until={entry.expires_at} />],
    ['Stale', entry.stale_at && `since ${formatTime(entry.stale_at)}: a replay only records the call`],
    ['Size', formatBytes(entry.bytes)],
    ['Failed replays', entry.replays === 0 ? null : formatCount(entry.replays)],
    ['Being replayed', entry.replay && <a href={addressOf('replays', { id: entry.replay })}>by this replay</a>],
    ['Id', entry.id],
  ] as const
  return (
    <dl class="facts">
      {facts.flatMap(([name, value]) =>
        value === null || value === '' ? [] : [<dt key={name}>{name}</dt>, <dd key={`${name} is`}>{value}</dd>],
      )}
    </dl>
  )
}

function Attempts({ attempts }: { readonly attempts: ParkedDetail['failed_attempts'] }) {
  if (attempts.length === 0) return null
  return (
    <section>
      <h3>Failed attempts</h3>
      <table>
        <thead>
          <tr>
            <th>Time</th>
            <th class="number">Attempt</th>
            <th class="number">Status</th>
            <th>Reason</th>
          </tr>
        </thead>
        <tbody>
          {attempts.map(({ at, attempt, status, reason }) => (
            <tr key={`${at} ${attempt}`}>
              <td>{formatTime(at)}</td>
              <td class="number">{attempt === 0 ? 'not sent' : attempt}</td>
              <td class="number">{status ?? '–'}</td>
              <td>{reason}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </section>
  )
}

/** Lists the other parked messages of the same lane, which is also their message group in SQS. */
function Lane({ id, lane: { ids, total } }: { readonly id: string; readonly lane: ParkedDetail['lane'] }) {
  const others = ids.filter((one) => one !== id)
  if (others.length === 0) return null
  return (
    <section>
      <h3>Other parked messages in this lane</h3>
      <p class="hint">
        {formatCount(total - 1)} more, oldest first
        {others.length < total - 1 && `; the first ${others.length} are shown`}
      </p>
      <ul class="lane">
        {others.map((one) => (
          <li key={one}>
            <button class="quiet" onClick={() => setFilters({ id: one })}>
              {one}
            </button>
          </li>
        ))}
      </ul>
    </section>
  )
}

/** Content over this size (bytes) is truncated. */
const MAX_SHOWN = 64_000

type ParkedContentProps = {
  readonly session: Session
  readonly entry: ParkedDetail
}

/** Shows the content that a replay sends again, always as plain text. Personal data is masked until an operator reveals it. */
function ParkedContent({ session, entry }: ParkedContentProps) {
  const revealed = useSignal<ParkedDetail['content'] | undefined>(undefined)
  const problem = useSignal<ApiProblem | undefined>(undefined)
  const isBusy = useSignal(false)
  const content = revealed.value ?? entry.content
  if (content === null)
    return (
      <section>
        <h3>Content</h3>
        <p class="hint">
          A relay keeps the content of messages that it parked itself. Run <code>enigma-relay parked</code> on its host
          to see it.
        </p>
      </section>
    )
  const reveal = () => {
    isBusy.value = true
    problem.value = undefined
    session.unmaskedClient
      .parkedEntry(entry.id, { reveal: true })
      .then(
        (answer) => void (revealed.value = answer.content),
        (error: ApiProblem) => void (problem.value = error),
      )
      .finally(() => void (isBusy.value = false))
  }
  const { text, masked: isMasked } = content
  const bytes = new TextEncoder().encode(text).length
  const isCut = bytes > MAX_SHOWN
  const save = () => download(`parked-${entry.id.replace(/[^\w-]/g, '-')}${isMasked ? '-masked' : ''}.json`, text)
  return (
    <section class="content">
      <h3>Content</h3>
      <div class="actions">
        {isMasked && <span class="hint">Personal data is masked.</span>}
        {isMasked && mayOperate.value && (
          <>
            <button class="second" disabled={isBusy.value} onClick={reveal}>
              Reveal
            </button>
            <span class="hint">The audit log records who revealed it.</span>
          </>
        )}
        {isCut && (
          <>
            <span class="hint">
              The first {formatBytes(MAX_SHOWN)} of {formatBytes(bytes)} are shown.
            </span>
            <button class="second" onClick={save}>
              Download all
            </button>
          </>
        )}
      </div>
      {problem.value !== undefined && <Problem problem={problem.value} />}
      <pre tabIndex={0} role="region" aria-label="Content">
        {isCut ? `${text.slice(0, MAX_SHOWN)}…` : indentJson(text)}
      </pre>
    </section>
  )
}

const TOKEN = /"(?:[^"\\]|\\.)*"|[{}[\],:]|[^\s"{}[\],:]+/gs

/** JSON with deeper nesting is shown unchanged, because its lines would be mostly spaces. */
const MAX_DEPTH = 50

/**
 * Formats JSON with one member per line. It works on the text, because parsing would change large numbers. Returns a text that is not JSON unchanged.
 */
function indentJson(text: string): string {
  try {
    JSON.parse(text)
  } catch {
    return text
  }
  let indented = ''
  let depth = 0
  let before = ''
  const line = () => `\n${'  '.repeat(depth)}`
  for (const [token] of text.matchAll(TOKEN)) {
    const isEnd = token === '}' || token === ']'
    const isEmpty = isEnd && (before === '{' || before === '[')
    if (isEnd) depth--
    else if (before === '{' || before === '[') indented += line()
    if (isEnd && !isEmpty) indented += line()
    indented += token
    if (token === ',') indented += line()
    if (token === ':') indented += ' '
    if ((token === '{' || token === '[') && ++depth > MAX_DEPTH) return text
    before = token
  }
  return indented
}
