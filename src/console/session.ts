import { computed, signal } from '@preact/signals'
import { ApiProblem, createClient, type Client, type Config } from '../client/index.ts'

/** Who uses the console, by the token. It is kept for as long as the tab is, and never in an address. */

export type Session = {
  /** Personal data is masked in every answer. */
  readonly client: Client
  /** The same without masks: only for what somebody asked to see. */
  readonly revealing: Client
  readonly config: Config
}

export const session = signal<Session | undefined>(undefined)

/** Why there is no session; '' where nobody has logged in yet. */
export const whyLoggedOut = signal('')

/** Whether the token may write: without it there are no controls that do. */
export const mayOperate = computed(() => session.value?.config.role === 'operate' && session.value.config.replays)

/** Whether the token may see personal data at all. */
export const mayReveal = computed(() => session.value?.config.role !== 'masked')

const KEY = 'enigma-relay token'

/** The API is above the console, wherever both are served. */
const url = () => new URL('..', location.href.replace(/[?#].*/, '')).href

const fetchOrLogOut = async (to: string, init: RequestInit): Promise<Response> => {
  const response = await fetch(to, init)
  if (response.status === 401 && session.value !== undefined) logOut('The token is no longer valid.')
  return response
}

/** @throws ApiProblem when the token is not valid or the API is away */
export async function logIn(token: string): Promise<void> {
  const options = { url: url(), token, fetch: fetchOrLogOut }
  const client = createClient({ ...options, masked: true })
  const config = await client.config()
  sessionStorage.setItem(KEY, token)
  session.value = { client, revealing: createClient(options), config }
  whyLoggedOut.value = ''
}

export function logOut(why = ''): void {
  sessionStorage.removeItem(KEY)
  session.value = undefined
  whyLoggedOut.value = why
}

/** Logs in with what the tab remembers, or with the one-time code that `npm run dev` puts into the address. @throws ApiProblem */
export async function resume(): Promise<void> {
  const code = /^#code=([\w-]+)$/.exec(location.hash)?.[1]
  // Before anything is asked: a code does not stay in the history.
  if (code !== undefined) history.replaceState(null, '', location.pathname)
  const token = code === undefined ? sessionStorage.getItem(KEY) : await exchange(code)
  if (token !== null) await logIn(token)
}

async function exchange(code: string): Promise<string> {
  const response = await fetch(`${url()}console/login`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ code }),
  })
  if (!response.ok)
    throw new ApiProblem(
      response.status,
      'unauthorized',
      'The code in the address was used before or is too old. Log in with the token that `npm run dev` prints.',
    )
  return ((await response.json()) as { readonly token: string }).token
}
