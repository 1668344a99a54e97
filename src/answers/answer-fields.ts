import * as v from 'valibot'

/** Returns the schema of a text. The description goes into the OpenAPI document, here and below. */
export const text = (description: string) => v.pipe(v.string(), v.description(description))

/** Returns the schema of a text that is null if the dialler did not send it. */
export const maybeText = (description: string) => v.pipe(v.nullable(v.string()), v.description(description))

/** Returns the schema of a time: ISO 8601, UTC. */
export const time = (description: string) =>
  v.pipe(v.string(), v.isoTimestamp(), v.description(`${description} ISO 8601, UTC.`))

/** Returns the schema of a count: a whole number that is not negative. */
export const count = (description: string) => v.pipe(v.number(), v.integer(), v.minValue(0), v.description(description))

export const source = text('The id of the source, as named in ENIGMA_SOURCES.')
export const campaignRef = maybeText('The reference of the campaign. Null if the dialler names none.')

/** Returns the schema of a page of a list. */
export const pageOf = <Item extends v.GenericSchema>(item: Item) =>
  v.object({
    items: v.array(item),
    next: v.pipe(
      v.nullable(v.string()),
      v.description('Send this as `cursor` to get the next page. Null on the last page.'),
    ),
  })

/** The answer to a request that failed. Source: RFC 9457. */
export const Problem = v.pipe(
  v.object({
    type: v.pipe(v.string(), v.description('The type of the problem, for programs: a URN that ends in a code.')),
    title: v.pipe(v.string(), v.description('A short summary of the type of problem.')),
    status: v.pipe(v.number(), v.integer()),
    detail: v.pipe(v.string(), v.description('The cause of this error, and how to fix it.')),
    parameter: v.optional(v.pipe(v.string(), v.description('The name of the invalid parameter.'))),
    known: v.optional(v.pipe(v.array(v.string()), v.description('The parameters that this path supports.'))),
  }),
  v.metadata({
    ref: 'Problem',
    description: 'An error in the format of RFC 9457.',
    examples: [
      {
        type: 'urn:enigma-relay:problem:bad-parameter',
        title: 'Invalid parameter',
        status: 400,
        detail: 'limit must be at most 500.',
        parameter: 'limit',
      },
    ],
  }),
)
export type Problem = v.InferOutput<typeof Problem>
