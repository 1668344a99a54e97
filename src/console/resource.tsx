import { type ReadonlySignal, signal } from '@preact/signals'
import type { ComponentChildren } from 'preact'
import { useEffect, useMemo } from 'preact/hooks'
import { ApiProblem, type Change } from '../client/index.ts'
import { connection, onChanges } from './live.ts'

/** What a page reads from the API, and reads again when it may have changed. */

export type Resource<T> = {
  /** The last answer; undefined until the first. It stays while the API is away. */
  readonly data: ReadonlySignal<T | undefined>
  /** Why the last read failed. */
  readonly problem: ReadonlySignal<ApiProblem | undefined>
  /** Reads again, soon. */
  readonly refresh: () => void
}

export type ResourceOptions = {
  /** Whether a change may have changed the answer. */
  readonly on?: ((change: Change) => boolean) | undefined
  /** The least time (ms) between two reads. Default 1,000. */
  readonly leastMs?: number | undefined
  /** Reads again after so long (ms) in any case. Default: never. */
  readonly everyMs?: number | undefined
}

/** Reads with `read`, anew whenever one of `inputs` is another; one read at a time, and none while the page is hidden. */
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
    const bell = createBell()
    wake.now = bell.ring
    const run = async () => {
      while (!ended.signal.aborted) {
        await bell.rung()
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
        await new Promise((resolve) => setTimeout(resolve, options.leastMs ?? 1_000))
      }
    }
    const stopChanges = onChanges(({ changes, reset }) => {
      if (reset || (options.on !== undefined && changes.some(options.on))) bell.ring()
    })
    // What changed while the API was away may not be a change that it tells.
    const stopConnection = connection.subscribe(({ isConnected }) => {
      if (isConnected && problem.peek() !== undefined) bell.ring()
    })
    const timer = options.everyMs === undefined ? undefined : setInterval(bell.ring, options.everyMs)
    bell.ring()
    void run()
    return () => {
      ended.abort()
      bell.ring()
      stopChanges()
      stopConnection()
      clearInterval(timer)
    }
  }, inputs)
  return useMemo(() => ({ data, problem, refresh: () => wake.now() }), [])
}

/** A bell that is heard once, however often it was rung, and not while nobody looks at the page. */
function createBell() {
  let isRung = false
  let hear = () => {}
  const ring = () => {
    isRung = true
    if (!document.hidden) hear()
  }
  return {
    ring,
    rung: async (): Promise<void> => {
      if (!isRung || document.hidden)
        await new Promise<void>((resolve) => {
          const look = () => {
            if (document.hidden || !isRung) return
            document.removeEventListener('visibilitychange', look)
            resolve()
          }
          hear = look
          document.addEventListener('visibilitychange', look)
        })
      isRung = false
      hear = () => {}
    },
  }
}

export type Pages<Item> = Resource<{ readonly items: readonly Item[]; readonly next: string | null }> & {
  /** Reads another page. */
  readonly more: () => void
}

/** As many as one request can have. */
const LIMIT = 500

/** Requests for one page at most: the API looks at thousands of items for each. */
const MOST_SPARSE = 10

/** The same for a list, of which as many pages are read as somebody has scrolled to. */
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
      // Where a filter leaves little of each page, it takes several to fill one.
      for (let pages = 0; items.length < wanted.pages * LIMIT && pages < wanted.pages * MOST_SPARSE; pages++) {
        const page = await list({ ...(cursor === undefined ? {} : { cursor }), limit: LIMIT, signal: abort })
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
        if (value === undefined || value.next === null || value.items.length < wanted.pages * LIMIT) return
        wanted.pages++
        resource.refresh()
      },
    }),
    [],
  )
}

/** Why there is nothing, and what would fill it. */
export function Empty({ title, children }: { readonly title: string; readonly children?: ComponentChildren }) {
  return (
    <div class="empty">
      <h2>{title}</h2>
      <p>{children}</p>
    </div>
  )
}

/** Why a page cannot show something, with a button to try it again. */
export function Problem({ problem, onRetry }: { readonly problem: ApiProblem; readonly onRetry?: () => void }) {
  return (
    <div class="problem box" role="alert">
      <p>{problem.detail}</p>
      {onRetry !== undefined && <button onClick={onRetry}>Try again</button>}
    </div>
  )
}

/** Shows the data of a resource, the problem of its last read, or that it is being read. Older data stay when a later read fails. */
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
          {problem.value === undefined ? 'Reading …' : 'The API cannot be reached.'}
        </p>
      )}
    </>
  )
}

