import type { Hono } from 'hono'
import { describeRoute, openAPIRouteHandler, resolver, type ResponsesWithResolver } from 'hono-openapi'
import * as v from 'valibot'
import { Problem } from '../answers/index.ts'
import type { ApiEnv } from './auth.ts'
import { query } from './query-parameters.ts'

const TOKENS =
  'The value of `API_TOKEN`, or a token in `API_TOKENS`. Its role is `read`, `operate`, or `masked`. With `masked`, numbers, contact references and recording URLs show ' +
  'at most their first and last two characters, packets and the callees of a preview are hidden, and search by number or contact is not allowed.'

const DocumentAnswer = v.objectWithRest({ openapi: v.string(), paths: v.record(v.string(), v.unknown()) }, v.unknown())

/**
 * Serves `GET /openapi.json`: the OpenAPI 3.1 document of all endpoints of an app. It is generated on the first request, from the schemas
 * that check parameters and type answers.
 */
export function openApi(app: Hono<ApiEnv>) {
  const description = describe({
    summary: 'Get this document',
    description: 'Returns the OpenAPI 3.1 document of this API.',
    tag: 'service',
    answer: DocumentAnswer,
  })
  const document = openAPIRouteHandler(app, {
    excludeStaticFile: false,
    defaultValidationErrorResponse: false,
    documentation: {
      info: {
        title: 'enigma-relay read API',
        version: '1.0.0',
        description:
          'Serves the current state of an Enigma dialler: agents, campaigns, calls and CDRs. References are always strings, even if ' +
          'the dialler wrote a number. Every successful GET has an `ETag`, except `/health` and `/events`. Every error is a problem (RFC 9457) with its own `type`.',
        license: { name: 'MIT', identifier: 'MIT' },
      },
      tags: [
        {
          name: 'agents',
          description: 'Agents, with their state in each campaign, their current call and their counters.',
        },
        {
          name: 'campaigns',
          description: 'Campaigns, with their state, history and counters, and the contacts that will be dialled next.',
        },
        { name: 'cdrs', description: 'Call detail records of the last three days, and calls without one.' },
        { name: 'changes', description: 'Changes as they happen, and confirmations of requests to the dialler.' },
        { name: 'dialers', description: 'Diallers, with their state: started, stopping, stopped.' },
        { name: 'gaps', description: 'Time spans in which Pub/Sub could not be heard.' },
        { name: 'kinds', description: 'The latest values of your own kinds.' },
        {
          name: 'other',
          description: 'Notifications of unknown types, and packets that cannot be read, with their bytes.',
        },
        { name: 'parked', description: 'Notifications parked by the relay and by the functions.' },
        { name: 'queues', description: 'The queues of the stack, with the number of their messages.' },
        { name: 'relays', description: 'The relays, and when each was last ready.' },
        { name: 'replays', description: 'Jobs that send parked notifications through their functions again.' },
        { name: 'wall', description: 'The current state of the whole call centre in one response.' },
        { name: 'service', description: 'The API itself.' },
      ],
      components: {
        securitySchemes: { token: { type: 'http', scheme: 'bearer', description: TOKENS } },
      },
      security: [{ token: [] }],
    },
  })
  return [description, query(), document] as const
}

/** Describes an error response in the OpenAPI document. */
export const problemAs = (description: string) => ({
  description,
  content: { 'application/problem+json': { schema: resolver(Problem) } },
})

const NOT_MODIFIED: ResponsesWithResolver = {
  304: { description: 'Not modified since the response whose ETag you sent as If-None-Match.' },
}

/** The errors that every endpoint may return. */
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
  /** The description of a 404. Absent: the endpoint never returns it. */
  readonly notFound?: string
  /** Whether it reads by POST, and therefore has no ETag. */
  readonly isPost?: boolean
}

/** Adds an endpoint that returns JSON to the OpenAPI document, with the schema of its answer and all of its errors. */
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
