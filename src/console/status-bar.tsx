import { effect, signal } from '@preact/signals'
import { ApiProblem } from '../client/index.ts'
import { session } from './session.ts'

/** What is about to be done, and can still be undone; and what became of it. It stays while another page is shown. */

type Pending = {
  readonly text: string
  readonly secondsLeft: number
}

/** A sentence, and where to read on. */
export type Said = { readonly text: string; readonly link: { readonly href: string; readonly label: string } }

type Notice = { readonly text: string; readonly isProblem: boolean; readonly link?: Said['link'] | undefined }

const pending = signal<Pending | undefined>(undefined)
const notice = signal<Notice | undefined>(undefined)

/** How long somebody has to change their mind. */
const UNDO_SECONDS = 5

let undo = () => {}
let hurry = () => {}

/** Shows a sentence until another one is there, or it is closed. */
export function say(said: string | Said, isProblem = false): void {
  notice.value = { ...(typeof said === 'string' ? { text: said } : said), isProblem }
}

export const sayProblem = (error: unknown): void =>
  say(error instanceof ApiProblem ? error.detail : `Something went wrong in the console: ${String(error)}`, true)

/** Does something in five seconds, unless it is undone before. One thing waits at a time: what waited before is done at once. */
export function doSoon(text: string, work: () => Promise<string | Said>): void {
  hurry()
  notice.value = undefined
  pending.value = { text, secondsLeft: UNDO_SECONDS }
  const run = async () => {
    end()
    try {
      say(await work())
    } catch (error) {
      sayProblem(error)
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
    undo = hurry = () => {}
  }
  undo = () => {
    end()
    say('Undone. Nothing was changed.')
  }
  hurry = () => void run()
}

// Who has logged out wants nothing more to be done.
effect(() => {
  if (session.value === undefined) undo()
})

/** A bar at the foot of the page. */
export function PendingBar() {
  const waits = pending.value
  const said = notice.value
  return (
    <div class="bar" role="status" aria-live="polite">
      {waits !== undefined && (
        <p>
          {waits.text} <span aria-hidden="true">in {waits.secondsLeft} s</span>{' '}
          <button onClick={() => undo()}>Undo</button>
        </p>
      )}
      {said !== undefined && (
        <p class={said.isProblem ? 'problem' : ''}>
          {said.text}{' '}
          {said.link !== undefined && (
            <>
              <a href={said.link.href}>{said.link.label}</a>{' '}
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
