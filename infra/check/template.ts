import { isObject } from '../../src/protocol/index.ts'

export type Properties = Readonly<Record<string, unknown>>

/** A compiled template, as far as it is looked at. */
export type Template = {
  readonly Resources: Readonly<
    Record<
      string,
      {
        readonly Type: string
        readonly Properties?: Properties
        readonly DependsOn?: string | readonly string[]
        readonly DeletionPolicy?: string
        readonly UpdateReplacePolicy?: string
      }
    >
  >
  readonly Outputs?: Properties
}

/** Every object in a value with the way to it: `Properties.Policies[0].PolicyDocument`. */
export function* objectsIn(value: unknown, path = ''): Generator<readonly [path: string, object: Properties]> {
  if (Array.isArray(value)) {
    for (const [index, one] of value.entries()) yield* objectsIn(one, `${path}[${index}]`)
  } else if (isObject(value)) {
    yield [path, value]
    for (const [name, one] of Object.entries(value)) yield* objectsIn(one, path === '' ? name : `${path}.${name}`)
  }
}

/** The logical id that `Ref` or `Fn::GetAtt` names; undefined for anything else. */
export function targetOf(value: unknown): string | undefined {
  if (!isObject(value)) return undefined
  const { Ref, 'Fn::GetAtt': attribute } = value
  if (typeof Ref === 'string') return Ref
  return Array.isArray(attribute) || typeof attribute === 'string'
    ? [attribute].flat().join('.').split('.')[0]
    : undefined
}

/** The properties of all resources of a type, by their logical ids. */
export const ofType = ({ Resources }: Template, type: string): [logicalId: string, properties: Properties][] =>
  Object.entries(Resources).flatMap(([id, { Type, Properties = {} }]) => (Type === type ? [[id, Properties]] : []))

/** The first resource of a type whose properties fit; without an id: there is none. */
export const find = (template: Template, type: string, fits: (properties: Properties) => boolean): Found =>
  ofType(template, type).find(([, properties]) => fits(properties)) ?? [undefined, {}]

type Found = readonly [logicalId: string | undefined, properties: Properties]

/** The alarm for a metric of a queue or a function. */
export const findAlarm = (template: Template, metric: string, of: string): Found =>
  find(
    template,
    'AWS::CloudWatch::Alarm',
    (p) => p['MetricName'] === metric && JSON.stringify(p['Dimensions']).includes(`"Value":"${of}"`),
  )
