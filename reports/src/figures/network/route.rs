//! Where lines run: down through rows where no box is, across in the gaps between rows, up between columns.
//!
//! A line is told by the node that it comes from. Lines of different nodes may cross, but never run on each other.

use std::collections::{BTreeMap, HashSet};

use super::grid::{Cell, Grid};

/// Sizes, pixels.
#[derive(Debug, Clone, Copy)]
pub struct Sizes {
    /// Of a box.
    pub width: i32,
    /// Of a box.
    pub height: i32,
    /// Left of the first column.
    pub left: i32,
    /// Above the first row.
    pub top: i32,
}

/// Between boxes of a row.
pub const LANE_GAP: i32 = 36;
/// Between two rows, where no line runs across.
pub const ROW_GAP: i32 = 30;
/// Between a column and the lines right of it.
const GUTTER: i32 = 24;
/// Distance of lines side by side.
const TRACK: i32 = 12;
/// Distance of lines below each other.
const SLOT: i32 = 9;
/// Distance of the ends of lines that one box reads.
const PORT: i32 = 16;
/// Tracks keep so far from the middle of a lane, where ends of lines are.
const PORTS: i32 = 3 * PORT;

/// A point of a line before heights are known: in a gap of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Turn {
    column: usize,
    /// Above the row of this number.
    gap: usize,
    x: i32,
}

/// A piece of a line across a gap.
struct Across {
    from: Turn,
    to: Turn,
    /// Which height in the gap it has, if it is no point.
    slot: Option<i32>,
}

impl Across {
    fn new(from: Turn, x: i32) -> Across {
        Across { from, to: Turn { x, ..from }, slot: None }
    }
}

/// A line: pieces across gaps, joined by pieces up or down.
struct Line {
    source: usize,
    reader: usize,
    across: Vec<Across>,
}

/// Boxes and lines in pixels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Routes {
    /// Left and top of each box.
    pub boxes: Vec<(i32, i32)>,
    /// Of each pair of a node and one that reads it: from the bottom of a box to the top of another.
    pub lines: Vec<Vec<(i32, i32)>>,
    /// Right end of everything.
    pub right: i32,
    /// Lower end of everything.
    pub bottom: i32,
}

/// Places boxes and lines of a [`Grid`].
pub fn routes(grid: &Grid, inputs: &[Vec<usize>], sizes: Sizes) -> Routes {
    let mut router =
        Router { grid, sizes, lefts: vec![sizes.left], taken: Vec::new(), gutters: BTreeMap::new() };
    let mut edges: Vec<(usize, usize)> = inputs
        .iter()
        .enumerate()
        .flat_map(|(reader, read)| read.iter().map(move |&source| (source, reader)))
        .collect();
    // Short lines next to the boxes, long ones outside.
    edges.sort_by_key(|&(source, reader)| (reader - source, source));
    let line = |(source, reader)| Line { source, reader, across: Vec::new() };
    let mut lines: Vec<Line> = edges.into_iter().map(line).collect();
    for column in 0..grid.n_boxes.len() {
        router.column(column, &mut lines);
    }
    let heights = Heights::of(grid, &mut lines, sizes);
    let at = |&Cell { column, row, lane }: &Cell| (router.left(column, lane), heights.row_tops[column][row]);
    Routes {
        boxes: grid.cells.iter().map(at).collect(),
        lines: lines.iter().map(|line| heights.points(line, grid, sizes)).collect(),
        right: router.lefts[grid.n_boxes.len()],
        bottom: heights.bottom,
    }
}

struct Router<'a> {
    grid: &'a Grid,
    sizes: Sizes,
    /// Of each column so far, and of the next one.
    lefts: Vec<i32>,
    /// Lines down in the current column: x, first and last gap, source.
    taken: Vec<(i32, usize, usize, usize)>,
    /// Lines right of the current column by their source.
    gutters: BTreeMap<usize, i32>,
}

impl Router<'_> {
    fn left(&self, column: usize, lane: usize) -> i32 {
        self.lefts[column] + lane as i32 * (self.sizes.width + LANE_GAP)
    }

    fn middle(&self, cell: Cell) -> i32 {
        self.left(cell.column, cell.lane) + self.sizes.width / 2
    }

    /// Lays the pieces of all lines that lie in `column`, from left to right.
    fn column(&mut self, column: usize, lines: &mut [Line]) {
        self.taken.clear();
        let entries = std::mem::take(&mut self.gutters);
        let mut ports: BTreeMap<usize, [i32; 2]> = BTreeMap::new();
        let last_gap = self.grid.n_boxes[column].len();
        let mut leaving = Vec::new();
        let n_lanes = self.grid.n_boxes[column].iter().max().map_or(0, |&n| n);
        let mut right = self.left(column, n_lanes) - LANE_GAP;
        for (i, line) in lines.iter_mut().enumerate() {
            let (source, reader) = (self.grid.cells[line.source], self.grid.cells[line.reader]);
            if source.column > column || reader.column < column {
                continue;
            }
            let starts_here = source.column == column;
            let from = if starts_here {
                Turn { column, gap: source.row + 1, x: self.middle(source) }
            } else {
                Turn { column, gap: 0, x: entries[&line.source] }
            };
            let end = (reader.column == column).then_some(reader);
            let end_gap = end.map_or(last_gap, |reader| reader.row);
            let track = self.track(from, end_gap, line.source, starts_here.then_some(source), end);
            right = right.max(track);
            if from.gap != end_gap {
                line.across.push(Across::new(from, track));
            }
            let turned = Turn { column, gap: end_gap, x: if from.gap == end_gap { from.x } else { track } };
            match end {
                Some(reader) => {
                    let x = self.port(reader, turned.x, ports.entry(line.reader).or_default());
                    line.across.push(Across::new(turned, x));
                }
                None => leaving.push((i, turned)),
            }
        }
        right += GUTTER;
        for (i, turned) in leaving {
            let n = self.gutters.len() as i32;
            let x = *self.gutters.entry(lines[i].source).or_insert(right + n * TRACK);
            lines[i].across.push(Across::new(turned, x));
        }
        self.lefts.push(right + self.gutters.len() as i32 * TRACK + GUTTER);
    }

    /// Where a line runs down from the gap of `from` to `end_gap`: below its box or above its reader's, if there is
    /// room, else right of all boxes that it passes.
    fn track(
        &mut self,
        from: Turn,
        end_gap: usize,
        source: usize,
        start: Option<Cell>,
        end: Option<Cell>,
    ) -> i32 {
        let Turn { column, gap, x } = from;
        if gap == end_gap {
            return x;
        }
        let passed = &self.grid.n_boxes[column][gap..end_gap];
        let lane = passed.iter().max().map_or(0, |&n| n);
        let meets = |&&(_, first, last, other): &&(i32, usize, usize, usize)| {
            other != source && first <= end_gap && gap <= last
        };
        let blocked: HashSet<i32> = self.taken.iter().filter(meets).map(|(x, ..)| *x).collect();
        let below = start.filter(|cell| cell.lane >= lane).map(|cell| self.middle(cell));
        // The row above the first gap must not have a box there either: its lines begin in that gap.
        let empty_above = gap.checked_sub(1).map_or(0, |row| self.grid.n_boxes[column][row]);
        let above = end.filter(|cell| cell.lane >= lane.max(empty_above)).map(|cell| self.middle(cell));
        let near_middle = |x: i32| {
            let pitch = self.sizes.width + LANE_GAP;
            let in_lane = (x - self.lefts[column]).rem_euclid(pitch);
            (in_lane - self.sizes.width / 2).abs() < PORTS
        };
        let first = (lane as i32 * (self.sizes.width + LANE_GAP) - TRACK).max(0).div_euclid(TRACK);
        let outside = (first..).map(|n| self.lefts[column] + n * TRACK).filter(|&x| !near_middle(x));
        let chosen = below.into_iter().chain(above).chain(outside).find(|x| !blocked.contains(x));
        let x = chosen.expect("there is always room farther right");
        self.taken.push((x, gap, end_gap, source));
        x
    }

    /// Where a line that comes from `x` ends above its reader: in the middle if it comes from there, else on its side.
    fn port(&self, reader: Cell, x: i32, sides: &mut [i32; 2]) -> i32 {
        let middle = self.middle(reader);
        if x == middle {
            return middle;
        }
        let side = usize::from(x > middle);
        sides[side] += 1;
        // Many would leave the box.
        let away = (sides[side] * PORT).min(self.sizes.width / 2 - 4);
        if x > middle { middle + away } else { middle - away }
    }
}

/// Heights of rows, and of the lines across each gap.
struct Heights {
    /// `[column][row]`
    row_tops: Vec<Vec<i32>>,
    /// `[column][gap]`
    gap_tops: Vec<Vec<i32>>,
    bottom: i32,
}

impl Heights {
    /// Gives each piece across a gap a height of its own where another node's piece lies.
    fn of(grid: &Grid, lines: &mut [Line], sizes: Sizes) -> Heights {
        let mut gaps: Vec<Vec<Slots>> =
            grid.n_boxes.iter().map(|rows| (0..=rows.len()).map(|_| Slots::default()).collect()).collect();
        for line in lines {
            for Across { from, to, slot } in
                line.across.iter_mut().filter(|across| across.from.x != across.to.x)
            {
                let slots = &mut gaps[from.column][from.gap];
                *slot = Some(slots.place(from.x.min(to.x), from.x.max(to.x), line.source));
            }
        }
        let (mut row_tops, mut gap_tops, mut bottom) = (Vec::new(), Vec::new(), sizes.top);
        for gaps in &gaps {
            let mut y = sizes.top;
            let (mut rows, mut tops) = (Vec::new(), Vec::new());
            for gap in gaps {
                tops.push(y);
                y += ROW_GAP + SLOT * gap.0.len() as i32;
                rows.push(y);
                y += sizes.height;
            }
            rows.pop();
            bottom = bottom.max(y - sizes.height);
            row_tops.push(rows);
            gap_tops.push(tops);
        }
        Heights { row_tops, gap_tops, bottom }
    }

    fn points(&self, line: &Line, grid: &Grid, sizes: Sizes) -> Vec<(i32, i32)> {
        let (source, reader) = (grid.cells[line.source], grid.cells[line.reader]);
        let first = line.across.first().map_or(0, |across| across.from.x);
        let mut points = vec![(first, self.row_tops[source.column][source.row] + sizes.height)];
        for Across { from, to, slot } in &line.across {
            if let Some(slot) = slot {
                let y = self.gap_tops[from.column][from.gap] + ROW_GAP / 2 + SLOT * slot;
                points.extend([(from.x, y), (to.x, y)]);
            }
        }
        let last = line.across.last().map_or(0, |across| across.to.x);
        points.push((last, self.row_tops[reader.column][reader.row]));
        points
    }
}

/// Lines across one gap: `[slot][(left, right, source)]`.
#[derive(Default)]
struct Slots(Vec<Vec<(i32, i32, usize)>>);

impl Slots {
    fn place(&mut self, left: i32, right: i32, source: usize) -> i32 {
        let free = |slot: &Vec<(i32, i32, usize)>| {
            slot.iter().all(|&(l, r, other)| other == source || right + TRACK / 2 < l || r + TRACK / 2 < left)
        };
        let slot = self.0.iter().position(free).unwrap_or_else(|| {
            self.0.push(Vec::new());
            self.0.len() - 1
        });
        self.0[slot].push((left, right, source));
        slot as i32
    }
}
