import { effect, signal, useSignal } from '@preact/signals'
import { type ComponentType, render } from 'preact'
import { useEffect } from 'preact/hooks'
import { ApiProblem } from '../client/index.ts'
import { Cdrs } from './cdrs/cdrs-page.tsx'
import { now, runClock } from './clock.ts'
import { Dialog } from './dialog.tsx'
import { formatSpan } from './format.ts'
import { Health } from './health/health-page.tsx'
import { bindings, listenToKeys, useKeys } from './keyboard.ts'
import { connection, follow } from './live.ts'
import { addressOf, focusFilter, followAddress, go, page, type PageName, PAGES } from './location.tsx'
import { Bin } from './parked/bin-page.tsx'
import { Parked } from './parked/parked-page.tsx'
import { Replays } from './replays/replays-page.tsx'
import { logIn, logOut, resume, session, type Session, whyLoggedOut } from './session.ts'
import { PendingBar } from './status-bar.tsx'
import { Stream } from './stream/stream-page.tsx'
import { Wall } from './wall/wall-page.tsx'
import './console.css'
import './wall/wall.css'

followAddress()
runClock()
listenToKeys()
render(<App />, document.body)

const TITLES: Readonly<Record<PageName, string>> = {
  wall: 'Wall',
  cdrs: 'CDRs',
  stream: 'Stream',
  parked: 'Parked',
  replays: 'Replays',
  bin: 'Bin',
  health: 'Health',
}

const SHOWN: Readonly<Record<PageName, ComponentType<{ session: Session }>>> = {
  wall: Wall,
  cdrs: Cdrs,
  stream: Stream,
  parked: Parked,
  replays: Replays,
  bin: Bin,
  health: Health,
}

export function App() {
  const who = session.value
  return who === undefined ? <Login /> : <Shell session={who} />
}

function Login() {
  const problem = useSignal('')
  const isBusy = useSignal(true)
  const tell = (error: unknown) => {
    problem.value = error instanceof ApiProblem ? error.detail : String(error)
  }
  useEffect(() => {
    document.title = 'enigma-relay: log in'
    // An API that does not answer keeps nobody from trying again.
    if (whyLoggedOut.peek() !== '') isBusy.value = false
    else
      resume()
        .catch(tell)
        .finally(() => void (isBusy.value = false))
  }, [])
  const submit = async (event: SubmitEvent) => {
    event.preventDefault()
    const token = new FormData(event.currentTarget as HTMLFormElement).get('token')
    isBusy.value = true
    try {
      await logIn(typeof token === 'string' ? token.trim() : '')
    } catch (error) {
      tell(error)
    } finally {
      isBusy.value = false
    }
  }
  const said = problem.value || whyLoggedOut.value
  return (
    <main class="login">
      <h1>enigma-relay</h1>
      <form onSubmit={(event) => void submit(event)}>
        <label>
          <span>API token</span>
          <input type="password" name="token" required autocomplete="off" autofocus />
        </label>
        <button disabled={isBusy.value}>Log in</button>
      </form>
      {said !== '' && (
        <p class="problem" role="alert">
          {said}
        </p>
      )}
      <p class="hint">
        A token of <code>API_TOKENS</code>. The tab keeps it until it is closed. The role <code>operate</code> is needed
        to replay, delete and reveal.
      </p>
    </main>
  )
}

function Shell({ session: who }: { readonly session: Session }) {
  const isHelpOpen = useSignal(false)
  useEffect(() => {
    const ended = new AbortController()
    void follow(who, ended.signal)
    return () => ended.abort()
  }, [who])
  useKeys([
    { key: '/', does: 'filter', run: focusFilter },
    { key: '?', does: 'show the keys', run: () => void (isHelpOpen.value = true) },
    ...PAGES.map((name, at) => ({ key: String(at + 1), does: TITLES[name], run: () => go(name) })),
  ])
  useEffect(() => {
    document.title = `${TITLES[page.value]} – enigma-relay`
  }, [page.value])
  return (
    <>
      <a
        class="skip"
        href="#main"
        onClick={(event) => {
          event.preventDefault()
          document.querySelector<HTMLElement>('main')?.focus()
        }}
      >
        Skip to the page
      </a>
      <header class="top">
        <nav aria-label="Pages">
          {PAGES.map((name) => (
            <a href={addressOf(name)} aria-current={page.value === name ? 'page' : undefined}>
              {TITLES[name]}
            </a>
          ))}
        </nav>
        <div class="who">
          <span title={`Role ${who.config.role}`}>
            {who.config.name} <small>{who.config.role}</small>
          </span>
          <button class="quiet" aria-label={`Colours: ${chosenTheme.value}`} onClick={nextTheme}>
            {chosenTheme.value === 'dark' ? '☾' : chosenTheme.value === 'light' ? '☀' : '◐'}
          </button>
          <button class="quiet" aria-label="Keyboard" onClick={() => void (isHelpOpen.value = true)}>
            ?
          </button>
          <button class="quiet" onClick={() => logOut()}>
            Log out
          </button>
        </div>
      </header>
      <Lost />
      <main id="main" tabIndex={-1} class={`page-${page.value}`}>
        <h1 class="title">{TITLES[page.value]}</h1>
        <Page session={who} />
      </main>
      <PendingBar />
      {isHelpOpen.value && (
        <Dialog title="Keyboard" onClose={() => void (isHelpOpen.value = false)}>
          <dl class="keys">
            {bindings.value.flat().map(({ key, does }) => (
              <div key={`${key} ${does}`}>
                <dt>
                  <kbd>{key}</kbd>
                </dt>
                <dd>{does}</dd>
              </div>
            ))}
          </dl>
        </Dialog>
      )}
    </>
  )
}

/**
 * The page itself. It is the only child of this component, and not of an element: an element keeps the children that it was rendered with, and with them, through what
 * they share with later ones, everything that a page has ever shown.
 */
function Page({ session: who }: { readonly session: Session }) {
  const Shown = SHOWN[page.value]
  return <Shown session={who} />
}

/** For how long the connection has been away. */
function Lost() {
  const { isConnected, sinceMs, why } = connection.value
  if (isConnected) return <div role="status" class="lost" hidden />
  // It ticks.
  void now.value
  return (
    <div role="status" class="lost">
      Connection lost for {formatSpan(Date.now() - sinceMs)}: what you see is from before. {why} Trying again …
    </div>
  )
}

const THEMES = ['system', 'light', 'dark'] as const
type Theme = (typeof THEMES)[number]

const KEY = 'enigma-relay theme'
const isTheme = (text: string | null): text is Theme => THEMES.some((one) => one === text)

const kept = localStorage.getItem(KEY)

export const chosenTheme = signal<Theme>(isTheme(kept) ? kept : 'system')

export const nextTheme = (): void =>
  void (chosenTheme.value = THEMES[(THEMES.indexOf(chosenTheme.peek()) + 1) % THEMES.length] ?? 'system')

effect(() => {
  localStorage.setItem(KEY, chosenTheme.value)
  document.documentElement.dataset['theme'] = chosenTheme.value
})
