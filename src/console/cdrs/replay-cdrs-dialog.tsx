import { useSignal } from '@preact/signals'
import type { ReplayPlan, ReplayRequest } from '../../client/index.ts'
import { Dialog } from '../dialog.tsx'
import { formatCount, formatNumberOf, formatSpan } from '../format.ts'
import { type Filters, go, page } from '../location.tsx'
import { doSoon } from '../pending.tsx'
import { Problem, useResource } from '../resource.tsx'
import type { Session } from '../session.ts'
import { describeFilters, toFilter } from './cdrs-page.tsx'

const ROUTE = 'campaigns-cdr'
const MAX_RATE = 1_000
const DEFAULT_RATE = 50

/** Why a re-run cannot be made with these filters. */
function faultOf({ from, to, number, contact }: Filters): string | undefined {
  if (number !== undefined || contact !== undefined)
    return 'A re-run cannot select by number or contact, because the job keeps its filter and shows it to everybody. Remove these filters, and narrow the time span instead.'
  if (from === undefined && to === undefined)
    return 'Select a time span first: set "from", "to" or both. Without one, every CDR that the read model keeps would be sent again.'
  return undefined
}

/** Asks whether to send CDRs through their function once more, with what that comes to. */
export function ReRunDialog({
  session: { client },
  filters,
  onClose,
}: {
  readonly session: Session
  readonly filters: Filters
  readonly onClose: () => void
}) {
  const fault = faultOf(filters)
  const rate = useSignal(DEFAULT_RATE)
  const selection = { cdrs: toFilter(filters), route: ROUTE } satisfies ReplayRequest
  const plan = useResource(
    async (signal) => (fault === undefined ? client.planReplay(selection, { signal, timeoutMs: 60_000 }) : undefined),
    [],
  )
  const figures = plan.data.value
  const what = figures === undefined ? 'CDRs' : formatNumberOf(figures.total, 'CDR')
  const send = (event: SubmitEvent) => {
    event.preventDefault()
    onClose()
    doSoon(`Sending ${what} through ${ROUTE} again`, async () => {
      const { id } = await client.startReplay({ ...selection, rate: rate.peek() })
      if (page.peek() === 'cdrs') go('replays', { id })
      return `${what} are on their way through ${ROUTE}. The page Replays shows the outcome of each.`
    })
  }
  if (fault !== undefined)
    return (
      <Dialog title="Send these CDRs again" onClose={onClose}>
        <p>{fault}</p>
        <div class="actions">
          <button onClick={onClose}>Close</button>
        </div>
      </Dialog>
    )
  return (
    <Dialog title={`Send these CDRs through ${ROUTE} again?`} onClose={onClose}>
      {plan.problem.value !== undefined && <Problem problem={plan.problem.value} onRetry={plan.refresh} />}
      <p role="status">
        {figures === undefined ? (
          `Counting every CDR that matches (${describeFilters(filters)}) …`
        ) : (
          <Question plan={figures} rate={rate.value} />
        )}
      </p>
      <p class="hint">
        The function gets the same bytes and ids once more, with the header ce-replay. The read model does not count
        them twice. A target that removes duplicates accepts them only if the job is part of its idempotency key.
      </p>
      <form class="stack" onSubmit={send}>
        <label>
          <span>CDRs a second at most</span>
          <input
            type="number"
            required
            min={1}
            max={MAX_RATE}
            step={1}
            value={rate.value}
            onInput={({ currentTarget }) => {
              if (currentTarget.validity.valid) rate.value = currentTarget.valueAsNumber
            }}
          />
        </label>
        <div class="actions">
          <button disabled={figures === undefined || figures.total === 0}>Send {what} again</button>
          <button type="button" class="second" onClick={onClose}>
            Cancel
          </button>
        </div>
      </form>
    </Dialog>
  )
}

function Question({ plan: { total, complete, skipped }, rate }: { readonly plan: ReplayPlan; readonly rate: number }) {
  if (total === 0) return <>No CDR matches. Nothing would be sent.</>
  const atLeast = complete ? '' : 'at least '
  return (
    <>
      Send <strong>{`${atLeast}${formatNumberOf(total, 'CDR')}`}</strong> again? At {formatCount(rate)} a second, that
      takes {formatSpan(Math.ceil(total / rate) * 1_000)}
      {complete ? '' : ' or longer'}.{skipped > 0 && ` ${formatNumberOf(skipped, 'CDR')} would be skipped.`}
    </>
  )
}
