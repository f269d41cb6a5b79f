//! Where boxes stand: rows by what they read, side by side where branches are, folded into columns.

/// Width over height that a picture has, about.
const ASPECT: f64 = 1.7;
/// A cut between columns moves by so many rows at the most, and for each line that then does not cross it.
const SEARCHED_ROWS: usize = 3;
/// No column has fewer rows, unless there is only one.
const LEAST_ROWS: usize = 5;

/// The cell of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cell {
    /// From the left.
    pub column: usize,
    /// Within its column, from the top.
    pub row: usize,
    /// Within its row, from the left.
    pub lane: usize,
}

/// The cells of all nodes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grid {
    /// Of each node.
    pub cells: Vec<Cell>,
    /// Boxes of each row: `[column][row]`; they stand in the first lanes.
    pub n_boxes: Vec<Vec<usize>>,
}

/// Places nodes that read only earlier ones; a box with its gap is `(width, height)` pixels.
pub fn grid(inputs: &[Vec<usize>], (width, height): (i32, i32)) -> Grid {
    let rows = rows(inputs);
    let n_rows = rows.iter().max().map_or(0, |last| last + 1);
    let mut n_boxes = vec![0; n_rows];
    rows.iter().for_each(|&row| n_boxes[row] += 1);
    let lanes = lanes(inputs, &rows, n_rows);
    let column_width = width * n_boxes.iter().max().map_or(1, |&n| n as i32);
    let n_columns = n_columns(n_rows, f64::from(column_width) / f64::from(height));
    let starts = starts(&crossings(inputs, &rows, n_rows), n_rows, n_columns);
    let column = |row: usize| starts.partition_point(|&start| start <= row) - 1;
    let cell = |(&row, &lane): (&usize, &usize)| {
        let column = column(row);
        Cell { column, row: row - starts[column], lane }
    };
    let ends = starts.iter().skip(1).copied().chain([n_rows]);
    Grid {
        cells: rows.iter().zip(&lanes).map(cell).collect(),
        n_boxes: starts.iter().zip(ends).map(|(&start, end)| n_boxes[start..end].to_vec()).collect(),
    }
}

/// Each node one row below the lowest that it reads.
fn rows(inputs: &[Vec<usize>]) -> Vec<usize> {
    let mut rows: Vec<usize> = Vec::with_capacity(inputs.len());
    for read in inputs {
        rows.push(read.iter().map(|&input| rows[input] + 1).max().unwrap_or(0));
    }
    rows
}

/// In each row, nodes stand in the order of what they read.
fn lanes(inputs: &[Vec<usize>], rows: &[usize], n_rows: usize) -> Vec<usize> {
    let mut lanes = vec![0; inputs.len()];
    let mut nodes_of_row = vec![Vec::new(); n_rows];
    rows.iter().enumerate().for_each(|(node, &row)| nodes_of_row[row].push(node));
    for mut nodes in nodes_of_row {
        let middle = |node: usize| {
            let read = &inputs[node];
            read.iter().map(|&input| lanes[input] as f64).sum::<f64>() / read.len().max(1) as f64
        };
        nodes.sort_by(|&a, &b| middle(a).total_cmp(&middle(b)).then(a.cmp(&b)));
        nodes.into_iter().enumerate().for_each(|(lane, node)| lanes[node] = lane);
    }
    lanes
}

/// How many columns give a picture nearest to [`ASPECT`]; a cell is `cell_aspect` times as wide as high.
fn n_columns(n_rows: usize, cell_aspect: f64) -> usize {
    let off = |n: usize| {
        let aspect = n as f64 * cell_aspect / n_rows.div_ceil(n).max(1) as f64;
        (aspect / ASPECT).ln().abs()
    };
    let most = (n_rows / LEAST_ROWS).max(1);
    (1..=most).min_by(|&a, &b| off(a).total_cmp(&off(b))).unwrap_or(1)
}

/// Lines that cross the end of each row; several lines of one node count once.
fn crossings(inputs: &[Vec<usize>], rows: &[usize], n_rows: usize) -> Vec<usize> {
    let mut last_reader = rows.to_vec();
    for (node, read) in inputs.iter().enumerate() {
        read.iter().for_each(|&input| last_reader[input] = last_reader[input].max(rows[node]));
    }
    let mut crossings = vec![0; n_rows];
    for (&from, &to) in rows.iter().zip(&last_reader) {
        crossings[from..to].iter_mut().for_each(|n| *n += 1);
    }
    crossings
}

/// The first row of each column.
fn starts(crossings: &[usize], n_rows: usize, n_columns: usize) -> Vec<usize> {
    let mut starts = vec![0];
    for column in 1..n_columns {
        let even = column * n_rows / n_columns;
        let least = starts[column - 1] + 1;
        let near = even.saturating_sub(SEARCHED_ROWS).max(least)..=(even + SEARCHED_ROWS).min(n_rows - 1);
        let best = near.min_by_key(|&row| (SEARCHED_ROWS * crossings[row - 1] + row.abs_diff(even), row));
        starts.extend(best);
    }
    starts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn branches_stand_side_by_side_and_sums_below_both() {
        // 1 and 2 read the image, 3 reads 1, 4 adds 3 and 2.
        let cells = grid(&[vec![], vec![0], vec![0], vec![1], vec![3, 2]], (100, 100)).cells;
        let at = |row, lane| Cell { column: 0, row, lane };
        assert_eq!(cells, [at(0, 0), at(1, 0), at(1, 1), at(2, 0), at(3, 0)]);
    }

    #[test]
    fn a_long_chain_is_folded_where_one_line_crosses() {
        // Blocks of three nodes, the third of which also reads the block's input.
        let block = |i: usize| match i {
            0 => vec![],
            _ if i.is_multiple_of(3) => vec![i - 1, i - 3],
            _ => vec![i - 1],
        };
        let inputs: Vec<Vec<usize>> = (0..61).map(block).collect();
        let grid = grid(&inputs, (250, 100));
        assert!((3..8).contains(&grid.n_boxes.len()), "{}", grid.n_boxes.len());
        let firsts = grid.cells.iter().enumerate().filter(|(_, cell)| cell.row == 0);
        assert!(firsts.skip(1).all(|(node, _)| node % 3 == 1), "columns begin after a sum");
    }
}
