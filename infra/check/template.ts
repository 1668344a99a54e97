export type Properties = Readonly<Record<string, unknown>>

/** A compiled template, as far as it is looked at. */
export type TemplateResource = {
  readonly Type: string
  readonly Properties?: Properties
  readonly DependsOn?: string | readonly string[]
  readonly DeletionPolicy?: string
  readonly UpdateReplacePolicy?: string
}

export type Template = {
  readonly Resources: Readonly<Record<string, TemplateResource>>
  readonly Outputs?: Readonly<Record<string, unknown>>
}

export const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

/** Every object in a value with the way to it: `Properties.Policies[0].PolicyDocument`. */
export function* objectsIn(
  value: unknown,
  path = '',
): Generator<readonly [path: string, object: Readonly<Record<string, unknown>>]> {
  if (Array.isArray(value)) {
    for (const [index, one] of value.entries()) yield* objectsIn(one, `${path}[${index}]`)
  } else if (isRecord(value)) {
    yield [path, value]
    for (const [name, one] of Object.entries(value)) yield* objectsIn(one, path === '' ? name : `${path}.${name}`)
  }
}

/** The logical id that `Ref` or `Fn::GetAtt` names; undefined for anything else. */
export function targetOf(value: unknown): string | undefined {
  if (!isRecord(value)) return undefined
  const attribute = value['Fn::GetAtt']
  if (typeof value['Ref'] === 'string') return value['Ref']
  return Array.isArray(attribute)
    ? String(attribute[0])
    : typeof attribute === 'string'
      ? attribute.split('.')[0]
      : undefined
}

/** The resources of a type, by their logical ids. */
export const ofType = ({ Resources }: Template, type: string): [logicalId: string, resource: TemplateResource][] =>
  Object.entries(Resources).filter(([, one]) => one.Type === type)

/** The first resource of a type whose properties fit. */
export function find(
  template: Template,
  type: string,
  fits: (properties: Properties) => boolean,
): readonly [logicalId: string, properties: Properties] | undefined {
  const [logicalId, resource] = ofType(template, type).find(([, { Properties = {} }]) => fits(Properties)) ?? []
  return logicalId === undefined ? undefined : [logicalId, resource?.Properties ?? {}]
}
