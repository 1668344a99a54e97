import { effect, signal } from '@preact/signals'
import { ApiProblem } from '../client/index.ts'
import { session } from './session.ts'

/* Actions that wait and can be undone, and their results. Both stay visible when the user opens another page. */

type Pending = {
  readonly text: string
  readonly secondsLeft: number
}

/** A sentence, and a link to more. */
export type Status = { readonly text: string; readonly link: { readonly href: string; readonly label: string } }

type Notice = { readonly text: string; readonly isProblem: boolean; readonly link?: Status['link'] | undefined }

const pending = signal<Pending | undefined>(undefined)
const notice = signal<Notice | undefined>(undefined)

/** For how long an action can be undone. */
const UNDO_SECONDS = 5

let undo = () => {}
let runNow = () => {}

/** Shows a sentence until another one replaces it or the user closes it. */
export function showStatus(status: string | Status, isProblem = false): void {
  notice.value = { ...(typeof status === 'string' ? { text: status } : status), isProblem }
}

export const showError = (error: unknown): void =>
  showStatus(error instanceof ApiProblem ? error.detail : `Something went wrong in the console: ${String(error)}`, true)

/** Runs `work` after five seconds, unless the user undoes it before. Only one action waits at a time: a second one makes the first run at once. */
export function runUnlessUndone(text: string, work: () => Promise<string | Status>): void {
  runNow()
  notice.value = undefined
  pending.value = { text, secondsLeft: UNDO_SECONDS }
  const run = async () => {
    end()
    try {
      showStatus(await work())
    } catch (error) {
      showError(error)
    }
  }
  const timer = setInterval(() => {
    const secondsLeft = (pending.peek()?.secondsLeft ?? 0) - 1
    if (secondsLeft <= 0) void run()
    else pending.value = { text, secondsLeft }
  }, 1_000)
  const end = () => {
    clearInterval(timer)
    pending.value = undefined
    undo = runNow = () => {}
  }
  undo = () => {
    end()
    showStatus('Undone. Nothing was changed.')
  }
  runNow = () => void run()
}

// Logging out cancels the action that waits.
effect(() => {
  if (session.value === undefined) undo()
})

/** Shows the action that waits, and the last result, at the bottom of the page. */
export function StatusBar() {
  const waiting = pending.value
  const result = notice.value
  return (
    <div class="bar" role="status" aria-live="polite">
      {waiting !== undefined && (
        <p>
          {waiting.text} <span aria-hidden="true">in {waiting.secondsLeft} s</span>{' '}
          <button onClick={() => undo()}>Undo</button>
        </p>
      )}
      {result !== undefined && (
        <p class={result.isProblem ? 'problem' : ''}>
          {result.text}{' '}
          {result.link !== undefined && (
            <>
              <a href={result.link.href}>{result.link.label}</a>{' '}
            </>
          )}
          <button class="quiet" aria-label="Close this message" onClick={() => void (notice.value = undefined)}>
            ✕
          </button>
        </p>
      )}
    </div>
  )
}
