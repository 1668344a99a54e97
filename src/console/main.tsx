import { effect, signal, useSignal } from '@preact/signals'
import { type ComponentType, render } from 'preact'
import { useEffect } from 'preact/hooks'
import { ApiProblem } from '../client/index.ts'
import { Cdrs } from './cdrs/cdrs-page.tsx'
import { now, runClock } from './clock.ts'
import { Dialog, bindings, listenToKeys, useKeys } from './focus.tsx'
import { formatSpan } from './format.ts'
import { Health } from './health/health-page.tsx'
import { connection, followChanges, logIn, logOut, resume, session, type Session, whyLoggedOut } from './session.ts'
import { addressOf, focusFilter, followAddress, go, page, type PageName, PAGES } from './location.tsx'
import { Bin } from './parked/bin-page.tsx'
import { Parked } from './parked/parked-page.tsx'
import { Replays } from './replays/replays-page.tsx'
import { StatusBar } from './status-bar.tsx'
import { Stream } from './stream/stream-page.tsx'
import { Wall } from './wall/wall-page.tsx'

import './console.css'
import './wall/wall.css'

/* The frame around all pages: the login, the navigation, and the colours. The browser starts here. */

const TITLES: Readonly<Record<PageName, string>> = {
  wall: 'Wall',
  cdrs: 'CDRs',
  stream: 'Stream',
  parked: 'Parked',
  replays: 'Replays',
  bin: 'Bin',
  health: 'Health',
}

const PAGE_COMPONENTS: Readonly<Record<PageName, ComponentType<{ session: Session }>>> = {
  wall: Wall,
  cdrs: Cdrs,
  stream: Stream,
  parked: Parked,
  replays: Replays,
  bin: Bin,
  health: Health,
}

const THEMES = ['system', 'light', 'dark'] as const
type Theme = (typeof THEMES)[number]

const THEME_KEY = 'enigma-relay theme'
const isTheme = (text: string | null): text is Theme => THEMES.some((one) => one === text)

const kept = localStorage.getItem(THEME_KEY)

const chosenTheme = signal<Theme>(isTheme(kept) ? kept : 'system')

const showNextTheme = (): void =>
  void (chosenTheme.value = THEMES[(THEMES.indexOf(chosenTheme.peek()) + 1) % THEMES.length] ?? 'system')

effect(() => {
  localStorage.setItem(THEME_KEY, chosenTheme.value)
  document.documentElement.dataset['theme'] = chosenTheme.value
})

function App() {
  const who = session.value
  return who === undefined ? <Login /> : <Shell session={who} />
}

function Login() {
  const problem = useSignal('')
  const isBusy = useSignal(true)
  const showProblem = (error: unknown) => {
    problem.value = error instanceof ApiProblem ? error.detail : String(error)
  }
  useEffect(() => {
    document.title = 'enigma-relay: log in'
    // If the API does not answer, the form is enabled again, so that the user can retry.
    if (whyLoggedOut.peek() !== '') isBusy.value = false
    else
      resume()
        .catch(showProblem)
        .finally(() => void (isBusy.value = false))
  }, [])
  const submit = async (event: SubmitEvent) => {
    event.preventDefault()
    const token = new FormData(event.currentTarget as HTMLFormElement).get('token')
    isBusy.value = true
    try {
      await logIn(typeof token === 'string' ? token.trim() : '')
    } catch (error) {
      showProblem(error)
    } finally {
      isBusy.value = false
    }
  }
  const message = problem.value || whyLoggedOut.value
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
      {message !== '' && (
        <p class="problem" role="alert">
          {message}
        </p>
      )}
      <p class="hint">
        Use a token from <code>API_TOKENS</code>. It is stored until you close the tab. To replay, delete or reveal, the
        token needs the role <code>operate</code>.
      </p>
    </main>
  )
}

function Shell({ session: who }: { readonly session: Session }) {
  const isHelpOpen = useSignal(false)
  useEffect(() => {
    const ended = new AbortController()
    void followChanges(who, ended.signal)
    return () => ended.abort()
  }, [who])
  useKeys([
    { key: '/', does: 'go to the first filter', run: focusFilter },
    { key: '?', does: 'show all keys', run: () => void (isHelpOpen.value = true) },
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
        Skip to the content
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
          <button class="quiet" aria-label={`Colours: ${chosenTheme.value}`} onClick={showNextTheme}>
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
      <ConnectionLost />
      <main id="main" tabIndex={-1} class={`page-${page.value}`}>
        <h1 class="title">{TITLES[page.value]}</h1>
        <Page session={who} />
      </main>
      <StatusBar />
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
 * Renders the page. It must be the only child of a component instead of a child of an element: Preact elements keep references to the children that they were first
 * rendered with. Those share data with later children, so nothing that a page has ever shown would be freed.
 */
function Page({ session: who }: { readonly session: Session }) {
  const Component = PAGE_COMPONENTS[page.value]
  return <Component session={who} />
}

/** Shows for how long the connection has been lost. */
function ConnectionLost() {
  const { isConnected, sinceMs, why } = connection.value
  if (isConnected) return <div role="status" class="lost" hidden />
  // Subscribes to the clock, so that the time is updated each second.
  void now.value
  return (
    <div role="status" class="lost">
      Connection lost for {formatSpan(Date.now() - sinceMs)}: this page may be out of date. {why} Reconnecting …
    </div>
  )
}

followAddress()
runClock()
listenToKeys()
render(<App />, document.body)
