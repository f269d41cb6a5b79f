//! The convex hull of channel counts: what lies between measured ones.

/// Input and output channels.
pub(super) type Channels = (u16, u16);

/// Corners of the convex hull of `points`, counter-clockwise: Andrew's monotone chain (1979).
///
/// `points` are distinct and in order. Points on an edge are no corners.
pub(super) fn corners(points: &[Channels]) -> Vec<Channels> {
    if points.len() < 3 {
        return points.to_vec();
    }
    let mut hull = half(points.iter());
    hull.extend(half(points.iter().rev()));
    hull
}

/// Whether `point` lies in the hull with these corners, or on its edge.
pub(super) fn contains(corners: &[Channels], point: Channels) -> bool {
    let between = |axis: fn(Channels) -> u16| {
        corners.iter().any(|&c| axis(c) <= axis(point)) && corners.iter().any(|&c| axis(c) >= axis(point))
    };
    let next = corners.iter().cycle().skip(1);
    let inside = corners.iter().zip(next).all(|(&a, &b)| turn(a, b, point) >= 0);
    inside && between(|c| c.0) && between(|c| c.1)
}

/// One side of the hull, without its last point, which begins the other side.
fn half<'a>(points: impl Iterator<Item = &'a Channels>) -> Vec<Channels> {
    let mut side: Vec<Channels> = Vec::new();
    for &point in points {
        while let [.., a, b] = side[..]
            && turn(a, b, point) <= 0
        {
            side.pop();
        }
        side.push(point);
    }
    side.pop();
    side
}

/// Positive if `c` lies to the left of the line from `a` to `b`, 0 if on it.
fn turn(a: Channels, b: Channels, c: Channels) -> i64 {
    let from_a = |point: Channels| (i64::from(point.0) - i64::from(a.0), i64::from(point.1) - i64::from(a.1));
    let (b, c) = (from_a(b), from_a(c));
    b.0 * c.1 - b.1 * c.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grid_has_four_corners_and_holds_what_is_between() {
        let grid: Vec<Channels> = (1..5).flat_map(|x| (2..5).map(move |y| (x, y))).collect();
        let hull = corners(&grid);
        assert_eq!(hull, [(1, 2), (4, 2), (4, 4), (1, 4)]);
        assert!(grid.iter().all(|&point| contains(&hull, point)));
        assert!(![(0, 3), (5, 3), (2, 1), (2, 5)].iter().any(|&point| contains(&hull, point)));
    }

    #[test]
    fn a_line_holds_its_own_points_only() {
        let hull = corners(&[(8, 8), (16, 16), (32, 32)]);
        assert_eq!(hull, [(8, 8), (32, 32)]);
        assert!(contains(&hull, (20, 20)));
        assert!(!contains(&hull, (20, 21)) && !contains(&hull, (40, 40)));
        assert!(contains(&corners(&[(8, 8)]), (8, 8)) && !contains(&corners(&[(8, 8)]), (8, 9)));
        assert!(!contains(&[], (8, 8)));
    }

    #[test]
    fn a_corner_that_was_not_measured_is_outside() {
        let hull = corners(&[(8, 8), (8, 64), (64, 8)]);
        assert!(contains(&hull, (36, 36)) && !contains(&hull, (64, 64)) && !contains(&hull, (37, 36)));
    }
}
