import { useSignal } from '@preact/signals'
import { Dialog } from '../dialog.tsx'
import { AGENT_STATES, lookOf } from './states.ts'
import { DEFAULT_THRESHOLDS, thresholds, type Threshold } from './thresholds.ts'

/** Lets somebody say how long is long, for each state. */
export function ThresholdsDialog({
  states,
  onClose,
}: {
  /** States that agents are in now: a newer dialler may have others. */
  readonly states: readonly string[]
  readonly onClose: () => void
}) {
  const problem = useSignal('')
  const all = [...new Set([...AGENT_STATES, ...states.filter((state) => state !== 'unknown')])]
  const submit = (event: SubmitEvent) => {
    event.preventDefault()
    const form = new FormData(event.currentTarget as HTMLFormElement)
    const read = (name: string): number | undefined => Number(form.get(name)) || undefined
    const next = all.map((state): [string, Threshold] => [
      state,
      { warn: read(`warn ${state}`), over: read(`over ${state}`) },
    ])
    const wrong = next.find(([, { warn, over }]) => warn !== undefined && over !== undefined && warn > over)
    if (wrong !== undefined) {
      problem.value = `${lookOf(wrong[0]).label}: “long” must not be more than “too long”.`
      return
    }
    thresholds.value = Object.fromEntries(next)
    onClose()
  }
  return (
    <Dialog title="Thresholds" onClose={onClose}>
      <p>For how many minutes an agent may be in a state. This browser keeps them; an empty field means no limit.</p>
      <form class="stack" onSubmit={submit}>
        <table class="thresholds" aria-label="Thresholds by state, in minutes">
          <thead>
            <tr>
              <th>State</th>
              <th>
                Long <span aria-hidden="true">!</span>
              </th>
              <th>
                Too long <span aria-hidden="true">!!</span>
              </th>
            </tr>
          </thead>
          <tbody>
            {all.map((state) => {
              const { shape, label, className } = lookOf(state)
              return (
                <tr key={state}>
                  <th scope="row" class={className}>
                    <span class="shape" aria-hidden="true">
                      {shape}
                    </span>{' '}
                    {label}
                  </th>
                  {(['warn', 'over'] as const).map((level) => (
                    <td key={level}>
                      <input
                        type="number"
                        name={`${level} ${state}`}
                        min="0.1"
                        max="1440"
                        step="any"
                        aria-label={`${label}: minutes until ${level === 'warn' ? 'long' : 'too long'}`}
                        defaultValue={thresholds.peek()[state]?.[level]?.toString() ?? ''}
                      />
                    </td>
                  ))}
                </tr>
              )
            })}
          </tbody>
        </table>
        {problem.value !== '' && (
          <p class="problem" role="alert">
            {problem.value}
          </p>
        )}
        <div class="actions">
          <button>Save</button>
          <button
            type="button"
            class="second"
            onClick={() => {
              thresholds.value = DEFAULT_THRESHOLDS
              onClose()
            }}
          >
            Use the defaults
          </button>
        </div>
      </form>
    </Dialog>
  )
}
