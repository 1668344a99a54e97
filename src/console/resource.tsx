import { type ReadonlySignal, signal } from '@preact/signals'
import type { ComponentChildren } from 'preact'
import { useEffect, useMemo } from 'preact/hooks'
import { ApiProblem, type Change } from '../client/index.ts'
import { connection, onChanges } from './session.ts'

/* Answers of the API that a page shows, and reads again when they may have changed. */

export type Resource<T> = {
  /** The last answer; undefined before the first. It stays while the API is unavailable. */
  readonly data: ReadonlySignal<T | undefined>
  /** Why the last request failed. */
  readonly problem: ReadonlySignal<ApiProblem | undefined>
  /** Reads again as soon as `minIntervalMs` allows. */
  readonly refresh: () => void
}

export type ResourceOptions = {
  /** Returns whether a change may affect the answer, so that it is read again. Default: no change does. */
  readonly refreshOn?: ((change: Change) => boolean) | undefined
  /** The minimum time (ms) between two requests. Default 1,000. */
  readonly minIntervalMs?: number | undefined
  /** Reads again at this interval (ms), even without a change. Default: never. */
  readonly pollMs?: number | undefined
}

/** Calls `read`, and again whenever one of `inputs` changes. Only one request is open at a time, and none starts while the page is hidden. */
export function useResource<T>(
  read: (signal: AbortSignal) => Promise<T>,
  inputs: readonly unknown[],
  options: ResourceOptions = {},
): Resource<T> {
  const { data, problem, wake } = useMemo(
    () => ({
      data: signal<T | undefined>(undefined),
      problem: signal<ApiProblem | undefined>(undefined),
      wake: { now: () => {} },
    }),
    [],
  )
  useEffect(() => {
    const ended = new AbortController()
    const alarm = createAlarm()
    wake.now = alarm.set
    const run = async () => {
      while (!ended.signal.aborted) {
        await alarm.wait()
        if (ended.signal.aborted) return
        try {
          const answer = await read(ended.signal)
          if (ended.signal.aborted) return
          data.value = answer
          problem.value = undefined
        } catch (error) {
          if (ended.signal.aborted) return
          problem.value =
            error instanceof ApiProblem ? error : new ApiProblem(0, 'unexpected', String(error), { cause: error })
        }
        await new Promise((resolve) => setTimeout(resolve, options.minIntervalMs ?? 1_000))
      }
    }
    const stopChanges = onChanges(({ changes, reset }) => {
      if (reset || (options.refreshOn !== undefined && changes.some(options.refreshOn))) alarm.set()
    })
    // While the API was unavailable, the answer may have changed without an entry in the change stream.
    const stopConnection = connection.subscribe(({ isConnected }) => {
      if (isConnected && problem.peek() !== undefined) alarm.set()
    })
    const timer = options.pollMs === undefined ? undefined : setInterval(alarm.set, options.pollMs)
    alarm.set()
    void run()
    return () => {
      ended.abort()
      alarm.set()
      stopChanges()
      stopConnection()
      clearInterval(timer)
    }
  }, inputs)
  return useMemo(() => ({ data, problem, refresh: () => wake.now() }), [])
}

/** Creates an alarm: `wait` resolves once after any number of `set`, and only while the page is visible. */
function createAlarm() {
  let isSet = false
  let check = () => {}
  const set = () => {
    isSet = true
    if (!document.hidden) check()
  }
  return {
    set,
    wait: async (): Promise<void> => {
      if (!isSet || document.hidden)
        await new Promise<void>((resolve) => {
          check = () => {
            if (document.hidden || !isSet) return
            document.removeEventListener('visibilitychange', check)
            resolve()
          }
          document.addEventListener('visibilitychange', check)
        })
      isSet = false
      check = () => {}
    },
  }
}

export type Pages<Item> = Resource<{ readonly items: readonly Item[]; readonly next: string | null }> & {
  /** Reads one more page. */
  readonly more: () => void
}

/** Items per request: the maximum of the API. */
const PAGE_LIMIT = 500

/** Requests for one page: the API examines thousands of items for each. */
const MAX_REQUESTS_PER_PAGE = 10

/** Reads a list like `useResource`, with as many pages as the user has scrolled to. */
export function usePages<Item, Page extends { readonly items: readonly Item[]; readonly next: string | null }>(
  list: (query: { cursor?: string; limit: number; signal: AbortSignal }) => Promise<Page>,
  inputs: readonly unknown[],
  options: ResourceOptions = {},
): Pages<Item> & { readonly first: ReadonlySignal<Page | undefined> } {
  const wanted = useMemo(() => ({ pages: 1 }), [])
  const first = useMemo(() => signal<Page | undefined>(undefined), [])
  const resource = useResource(
    async (abort) => {
      const items: Item[] = []
      let cursor: string | undefined
      // If few items match the filter, one page takes several requests.
      for (
        let pages = 0;
        items.length < wanted.pages * PAGE_LIMIT && pages < wanted.pages * MAX_REQUESTS_PER_PAGE;
        pages++
      ) {
        const page = await list({ ...(cursor === undefined ? {} : { cursor }), limit: PAGE_LIMIT, signal: abort })
        if (pages === 0) first.value = page
        items.push(...page.items)
        if (page.next === null) return { items, next: null }
        cursor = page.next
      }
      return { items, next: cursor ?? null }
    },
    inputs,
    options,
  )
  useEffect(() => void (wanted.pages = 1), inputs)
  return useMemo(
    () => ({
      ...resource,
      first,
      more: () => {
        const { data } = resource
        const value = data.peek()
        if (value === undefined || value.next === null || value.items.length < wanted.pages * PAGE_LIMIT) return
        wanted.pages++
        resource.refresh()
      },
    }),
    [],
  )
}

/** Explains why a list is empty, and when entries appear. */
export function Empty({ title, children }: { readonly title: string; readonly children?: ComponentChildren }) {
  return (
    <div class="empty">
      <h2>{title}</h2>
      <p>{children}</p>
    </div>
  )
}

/** Shows why a request failed, with a button to retry. */
export function Problem({ problem, onRetry }: { readonly problem: ApiProblem; readonly onRetry?: () => void }) {
  return (
    <div class="problem box" role="alert">
      <p>{problem.detail}</p>
      {onRetry !== undefined && <button onClick={onRetry}>Try again</button>}
    </div>
  )
}

/** Shows the data of a resource, the error of its last request, or that it is loading. If a later request fails, the older data stay. */
export function Loaded<T>({
  resource: { data, problem, refresh },
  children,
}: {
  readonly resource: Resource<T>
  readonly children: (data: T) => ComponentChildren
}) {
  return (
    <>
      {problem.value !== undefined && problem.value.code !== 'network' && (
        <Problem problem={problem.value} onRetry={refresh} />
      )}
      {data.value !== undefined ? (
        children(data.value)
      ) : (
        <p class="loading" aria-busy="true">
          {problem.value === undefined ? 'Loading …' : 'The API cannot be reached.'}
        </p>
      )}
    </>
  )
}
