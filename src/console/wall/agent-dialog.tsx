import { useSignal } from '@preact/signals'
import type { AgentDetail, AgentState, Call, Stats } from '../../client/index.ts'
import { Dialog } from '../focus.tsx'
import { formatCount, formatSpan, formatTime } from '../format.ts'
import { addressOf } from '../location.tsx'
import { Loaded, useResource } from '../resource.tsx'
import { mayReveal, type Session } from '../session.ts'
import { lookOf } from './wall-figures.tsx'
import type { WallModel } from './wall-model.ts'

/** Shows the states, calls and counters of an agent. */
export function AgentDialog({
  agentRef,
  session,
  model,
  onClose,
}: {
  readonly agentRef: string
  readonly session: Session
  readonly model: WallModel
  readonly onClose: () => void
}) {
  const isRevealed = useSignal(false)
  const agent = useResource(
    (signal) => (isRevealed.peek() ? session.unmaskedClient : session.client).agent(agentRef, { signal }),
    [agentRef, isRevealed.value],
    { refreshOn: (change) => change.ref === agentRef && !model.isPaused.peek(), pollMs: 15_000 },
  )
  return (
    <Dialog title={`Agent ${agentRef}`} onClose={onClose} isWide>
      <Loaded resource={agent}>
        {(detail) => (
          <>
            <States states={detail.states} model={model} />
            <section>
              <h3>Current call</h3>
              {detail.call === null ? (
                <p class="muted">No call.</p>
              ) : (
                <CurrentCall call={detail.call} isUnsure={detail.call_unsure} model={model} />
              )}
            </section>
            <LatestCalls calls={detail.calls} />
            <Counters stats={detail.stats} />
          </>
        )}
      </Loaded>
      <div class="actions">
        <a href={addressOf('cdrs', { agent: agentRef })}>CDRs of this agent</a>
        <a href={addressOf('stream', { reference: agentRef })}>Changes of this agent</a>
        <span class="grow" />
        {mayReveal.value && (
          <button
            class="second"
            aria-pressed={isRevealed.value}
            onClick={() => void (isRevealed.value = !isRevealed.value)}
          >
            {isRevealed.value ? 'Mask numbers' : 'Reveal numbers'}
          </button>
        )}
      </div>
    </Dialog>
  )
}

function States({ states, model }: { readonly states: readonly AgentState[]; readonly model: WallModel }) {
  if (states.length === 0) return <p class="muted">No state yet. It appears with the next agents/status.</p>
  return (
    <table aria-label="States">
      <thead>
        <tr>
          <th>Campaign</th>
          <th>State</th>
          <th>Since</th>
          <th>Source</th>
          <th>Unexpected changes</th>
        </tr>
      </thead>
      <tbody>
        {states.map(
          ({ campaign_ref: campaign, source, status, since, unsure, unexpected, unexpected_count: count }) => {
            const { shape, label, className } = lookOf(status)
            return (
              <tr key={`${source} ${campaign}`} class={unsure ? 'unsure' : ''}>
                <td>{campaign ?? 'none'}</td>
                <td class={className}>
                  <span class="shape" aria-hidden="true">
                    {shape}
                  </span>{' '}
                  {label}
                  {unsure && ' (unsure: a gap has occurred since)'}
                </td>
                <td>
                  {formatTime(since)}, <Ago since={since} model={model} />
                </td>
                <td>{source}</td>
                <td>
                  {count === 0
                    ? 'none'
                    : `${formatCount(count)}${unexpected === null ? '' : `; last: ${unexpected.from} to ${unexpected.to}, ${formatTime(unexpected.at)}`}`}
                </td>
              </tr>
            )
          },
        )}
      </tbody>
    </table>
  )
}

/** Shows the time since a moment. It is a separate component, so that nothing else is rendered each second. */
function Ago({ since, model }: { readonly since: string; readonly model: WallModel }) {
  return <>{formatSpan(model.nowMs.value - Date.parse(since))}</>
}

function CurrentCall({
  call,
  isUnsure,
  model,
}: {
  readonly call: Call
  readonly isUnsure: boolean
  readonly model: WallModel
}) {
  return (
    <dl class={`facts box${isUnsure ? ' unsure' : ''}`}>
      <dt>{call.direction === 'inbound' ? '↙ Inbound' : '↗ Outbound'}</dt>
      <dd>
        since {formatTime(call.received_at)}, <Ago since={call.received_at} model={model} />
        {isUnsure && ' (unsure: the call may have ended)'}
      </dd>
      <dt>Number</dt>
      <dd>{call.number ?? '–'}</dd>
      <dt>{call.direction === 'inbound' ? 'Called number' : 'Dialled'}</dt>
      <dd>{call.dial_number ?? '–'}</dd>
      <dt>Contact</dt>
      <dd>{call.contact_ref ?? '–'}</dd>
      <dt>Call</dt>
      <dd>{call.call_ref ?? '–'}</dd>
      <dt>Campaign</dt>
      <dd>{call.campaign_ref ?? 'not named by the dialler'}</dd>
    </dl>
  )
}

function LatestCalls({ calls }: { readonly calls: readonly Call[] }) {
  return (
    <section>
      <h3>Latest calls</h3>
      {calls.length === 0 ? (
        <p class="muted">No calls yet.</p>
      ) : (
        <table aria-label="Latest calls">
          <thead>
            <tr>
              <th>Time</th>
              <th>Direction</th>
              <th>Number</th>
              <th>Contact</th>
              <th>Call</th>
              <th>Note</th>
            </tr>
          </thead>
          <tbody>
            {calls.map((call) => (
              <tr key={call.notification_id}>
                <td>{formatTime(call.received_at)}</td>
                <td>{call.direction}</td>
                <td>{call.number ?? '–'}</td>
                <td>{call.contact_ref ?? '–'}</td>
                <td>{call.call_ref ?? '–'}</td>
                <td>{call.stale && <span class="tag warn">stale: too late for a screen pop</span>}</td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
    </section>
  )
}

/** Formats a counter. The dialler sends durations in ms. */
const formatCounter = (name: string, value: number): string =>
  name.endsWith('_time') ? formatSpan(value) : formatCount(value)

function Counters({ stats }: { readonly stats: AgentDetail['stats'] }) {
  if (stats.length === 0) return null
  return (
    <section>
      <h3>Counters</h3>
      {stats.map(({ source, campaign_ref: campaign, at, values, resets }: Stats) => (
        <dl key={`${source} ${campaign}`} class="facts counters">
          <dt>{campaign === null ? source : `Campaign ${campaign}, ${source}`}</dt>
          <dd>
            {Object.entries(values)
              .map(([name, value]) => `${name} ${formatCounter(name, value)}`)
              .join(', ')}{' '}
            <small class="muted">
              at {formatTime(at)}
              {resets > 0 && `; reset by the dialler: ${formatCount(resets)} times`}
            </small>
          </dd>
        </dl>
      ))}
    </section>
  )
}
