import { computed, signal } from '@preact/signals'
import { ApiProblem, createClient, type Client, type Config } from '../client/index.ts'

/* The user of the console and the API token. The tab stores the token until it is closed. The token is never part of a URL. */

export type Session = {
  /** A client with personal data masked in every answer. */
  readonly client: Client
  /** A client without masks, only for data that the user asks to see. */
  readonly unmaskedClient: Client
  readonly config: Config
}

export const session = signal<Session | undefined>(undefined)

/** Why the session ended; '' before the first login. */
export const whyLoggedOut = signal('')

/** Whether the user may change anything. Otherwise, the console hides the controls. */
export const mayOperate = computed(() => session.value?.config.role === 'operate' && session.value.config.replays)

/** Whether the user may see personal data. */
export const mayReveal = computed(() => session.value?.config.role !== 'masked')

const KEY = 'enigma-relay token'

/** The API is always one level above the console. */
const apiUrl = () => new URL('..', location.href.replace(/[?#].*/, '')).href

const fetchOrLogOut = async (to: string, init: RequestInit): Promise<Response> => {
  const response = await fetch(to, init)
  if (response.status === 401 && session.value !== undefined) logOut('The token is no longer valid.')
  return response
}

/** Starts a session. @throws ApiProblem if the token is invalid or the API is unavailable */
export async function logIn(token: string): Promise<void> {
  const options = { url: apiUrl(), token, fetch: fetchOrLogOut }
  const client = createClient({ ...options, masked: true })
  const config = await client.config()
  sessionStorage.setItem(KEY, token)
  session.value = { client, unmaskedClient: createClient(options), config }
  whyLoggedOut.value = ''
}

export function logOut(why = ''): void {
  sessionStorage.removeItem(KEY)
  session.value = undefined
  whyLoggedOut.value = why
}

/** Logs in with the token that the tab stores, or with the one-time code that `npm run dev` puts into the address. @throws ApiProblem */
export async function resume(): Promise<void> {
  const code = /^#code=([\w-]+)$/.exec(location.hash)?.[1]
  // The code is removed before the first request, so that it does not stay in the history.
  if (code !== undefined) history.replaceState(null, '', location.pathname)
  const token = code === undefined ? sessionStorage.getItem(KEY) : await exchange(code)
  if (token !== null) await logIn(token)
}

async function exchange(code: string): Promise<string> {
  const response = await fetch(`${apiUrl()}console/login`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ code }),
  })
  if (!response.ok)
    throw new ApiProblem(
      response.status,
      'unauthorized',
      'The login code in the address has been used or has expired. Log in with the token that `npm run dev` prints.',
    )
  return ((await response.json()) as { readonly token: string }).token
}
