import { post, type Post } from '../../../functions/post.ts'

/** As much of `fetch` as the client of Upstash uses: a POST, of whose answer it wants these. */
export async function postLikeFetch(url: string, request: Post) {
  const { status, headers, text } = await post(url, request)
  return {
    status,
    ok: status >= 200 && status < 300,
    headers: { get: (name: string) => headers[name]?.toString() ?? null },
    text: () => Promise.resolve(text),
  }
}
