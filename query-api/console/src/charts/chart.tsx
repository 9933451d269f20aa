import type { ComposeOption, ECharts } from 'echarts/core'
import type { BarSeriesOption, LineSeriesOption, SankeySeriesOption } from 'echarts/charts'
import type { GridComponentOption, LegendComponentOption, TooltipComponentOption } from 'echarts/components'
import { useEffect, useRef, useState } from 'preact/hooks'
import { catalogue } from '../catalogue'
import { dark } from '../theme'
import { Loading } from '../ui/states'

export type Option = ComposeOption<
  BarSeriesOption | LineSeriesOption | SankeySeriesOption | GridComponentOption | LegendComponentOption | TooltipComponentOption
>

/** The colours of the page, from its style sheet. */
export interface Colours {
  text: string
  muted: string
  line: string
  surface: string
  accent: string
  categories: string[]
}

interface Props {
  /** What the chart shows, for readers who do not see it. The panel's table has the figures. */
  label: string
  height: number
  option: (colours: Colours) => Option
  /** The chart is drawn again when this changes. */
  data: unknown
  onPick?: (dataIndex: number, what: 'node' | 'edge' | undefined) => void
  /** Narrower than this, it scrolls sideways. */
  minWidth?: number
}

export function Chart({ label, height, option, data, onPick, minWidth }: Props) {
  const box = useRef<HTMLDivElement>(null)
  const chart = useRef<ECharts | null>(null)
  const pick = useRef(onPick)
  pick.current = onPick
  const [ready, setReady] = useState(false)
  const isDark = dark.use()
  const known = catalogue.use() // knows the colours of categories

  useEffect(() => {
    let gone = false
    const observer = new ResizeObserver(() => chart.current?.resize())
    import('./echarts').then(({ init }) => {
      if (gone || !box.current) return
      chart.current = init(box.current)
      chart.current.on('click', ({ dataIndex, dataType }) => pick.current?.(dataIndex, dataType as 'node' | 'edge' | undefined))
      observer.observe(box.current)
      setReady(true)
    })
    return () => {
      gone = true
      observer.disconnect()
      chart.current?.dispose()
    }
  }, [])

  useEffect(() => {
    chart.current?.setOption({ animation: false, textStyle: { fontFamily: getComputedStyle(document.body).fontFamily }, ...option(colours()) }, { notMerge: true })
  }, [ready, isDark, known, data])

  return (
    <div class="chart" role="img" aria-label={label}>
      {!ready && <Loading />}
      <div class={minWidth ? 'scroll' : ''} tabIndex={minWidth ? 0 : undefined}>
        <div ref={box} style={{ height: `${height}px`, minWidth: minWidth ? `${minWidth}px` : undefined }} />
      </div>
    </div>
  )
}

function colours(): Colours {
  const style = getComputedStyle(document.documentElement)
  const of = (name: string) => style.getPropertyValue(`--${name}`).trim()
  return {
    text: of('text'),
    muted: of('muted'),
    line: of('line'),
    surface: of('surface'),
    accent: of('accent'),
    categories: Array.from({ length: 8 }, (_, i) => of(`c${i}`)),
  }
}

/** Tooltips as the page's own boxes. */
export const tooltip = ({ surface, line, text }: Colours): TooltipComponentOption => ({
  backgroundColor: surface,
  borderColor: line,
  textStyle: { color: text, fontSize: 12 },
  confine: true,
})
