import * as v from 'valibot'
import { campaignRef, count, source, time } from './fields.ts'

const values = v.pipe(v.record(v.string(), v.number()), v.description("By the dialler's names; durations in ms."))

const StatsPoint = v.pipe(
  v.object({
    at: time('When it was heard.'),
    values,
    reset: v.pipe(v.boolean(), v.description('A cumulative value decreased here: the dialler reset its counters.')),
  }),
  v.metadata({ ref: 'StatsPoint', description: 'One point of a chart.' }),
)

export const StatsAnswer = v.pipe(
  v.object({
    source,
    campaign_ref: campaignRef,
    at: time('When the latest values were heard.'),
    values,
    resets: count('How often the dialler reset its counters.'),
    series: v.pipe(v.array(StatsPoint), v.description('The latest points, oldest first.')),
  }),
  v.metadata({ ref: 'Stats', description: 'The latest counters, and a short series of them for charts.' }),
)
