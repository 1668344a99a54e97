import { describeRoute, resolver, type ResponsesWithResolver } from 'hono-openapi'
import type * as v from 'valibot'
import { Problem } from '../answers/index.ts'

/** An error answer in the OpenAPI document. */
export const problemAs = (description: string) => ({
  description,
  content: { 'application/problem+json': { schema: resolver(Problem) } },
})

const NOT_MODIFIED: ResponsesWithResolver = {
  304: { description: 'Not modified since the response whose ETag you sent as If-None-Match.' },
}

/** The errors that every address may answer with. */
const COMMON: ResponsesWithResolver = {
  400: problemAs('A parameter is invalid or unknown; `parameter` names it.'),
  401: problemAs('The bearer token is missing or invalid.'),
  403: problemAs("The token's role does not allow this request."),
  503: problemAs('The read model does not answer; retry after `Retry-After` seconds.'),
}

export type Description = {
  /** A few words. */
  readonly summary: string
  /** What a caller needs to know, in Markdown. */
  readonly description: string
  readonly tag: string
  readonly answer: v.GenericSchema
  /** Whether it answers 404 when there is no such thing. */
  readonly notFound?: string
  /** A read by POST has no ETag. */
  readonly isPost?: boolean
}

/** Puts an address that answers JSON into the OpenAPI document, with the schema of its answer and all its errors. */
export function describe({ summary, description, tag, answer, notFound, isPost = false }: Description) {
  return describeRoute({
    summary,
    description,
    tags: [tag],
    responses: {
      200: { description: 'The request succeeded.', content: { 'application/json': { schema: resolver(answer) } } },
      ...(isPost ? {} : NOT_MODIFIED),
      ...COMMON,
      ...(notFound === undefined ? {} : { 404: problemAs(notFound) }),
    },
  })
}
